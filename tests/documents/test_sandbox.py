"""A task that crashes, hangs or eats memory costs itself: every other task of the same pool gets its result."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import crashing_reader
import psutil
import pytest

from quire.documents.sandbox import PoolSettings, Sandbox, cores
from quire.errors import QuireError, UsageError
from quire.settings import build


def run(tasks, **limits):
    with Sandbox(crashing_reader.read, **{"workers": 2, "seconds": 30, "memory_mb": 1000} | limits) as pool:
        return {finished.task: finished for finished in pool.map(tasks)}


@pytest.mark.parametrize(
    ("bad", "kind", "reason"),
    [
        ("segfault", "crashed", "the reader crashed with signal 11 (SIGSEGV)"),
        ("abort", "crashed", "the reader crashed with signal 6 (SIGABRT)"),
        ("exit:0", "crashed", "the reader ended its process with exit code 0"),
        ("exit:7", "crashed", "the reader ended its process with exit code 7"),
        ("raise:no such thing", "error", "ValueError: no such thing"),
        ("unpicklable", "error", "Can't pickle"),
    ],
)
def test_a_crash_costs_one_task(bad, kind, reason):
    good = [f"good:{number}" for number in range(6)]
    results = run([*good[:3], bad, *good[3:]])
    assert set(results) == {*good, bad}
    assert all(results[task].failure is None and "read by" in results[task].value for task in good)
    assert results[bad].value is None
    assert results[bad].failure.kind == kind
    assert reason in results[bad].failure.reason or reason in str(results[bad].failure)


@pytest.mark.parametrize("bad", ["hang", "hang-deaf"])
def test_a_hang_costs_one_task(bad):
    results = run(["good:1", bad, "good:2", "good:3"], seconds=0.7)
    assert results[bad].failure.kind == "time"
    assert results[bad].failure.reason == "took longer than 0.7 s"
    assert all(results[f"good:{number}"].failure is None for number in (1, 2, 3))


def test_a_greedy_task_is_stopped():
    results = run(["good:1", "eat", "good:2"], memory_mb=300)
    assert results["eat"].failure.kind == "memory"
    assert results["eat"].failure.reason == "used more than 300 MB"
    assert results["good:1"].failure is None
    assert results["good:2"].failure is None


def test_the_time_limit_is_of_a_page_where_pages_are_reported():
    results = run(["pages:4"], seconds=1.2)  # 1.6 s together, 0.4 s each
    assert results["pages:4"].failure is None
    results = run(["pages-then-hang:6"], seconds=0.5)
    assert results["pages-then-hang:6"].failure.reason == "took longer than 0.5 s on page 7"


def test_notes_outlive_the_crash_that_follows_and_last_words_are_kept():
    results = run(["noted-crash:abc", "abort", "good:1"])
    assert results["noted-crash:abc"].notes == {"sha256": "abc"}
    assert results["good:1"].notes == {}
    assert results["abort"].failure.detail == "the library said why"


def test_workers_ignore_ctrl_c_and_stay_in_use():
    results = run(["interrupt", "good:1", "good:2"], workers=1)
    assert all(finished.failure is None for finished in results.values())
    assert len({finished.value.split()[-1] for finished in results.values()}) == 1


def test_what_a_reader_prints_reaches_nobody(capfd):
    assert run(["print"])["print"].failure is None
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_has_grown_starts_anew():
    results = run(["keep:300000000", "good:1"], workers=1, memory_mb=500)
    first, second = (finished.value.split()[-1] for finished in results.values())
    assert first != second


def test_large_results_and_many_tasks_arrive_whole():
    tasks = [f"good:{number}" for number in range(500)]
    results = run(["big:5000000", *tasks])
    assert results["big:5000000"].value == "x" * 5_000_000
    assert set(results) == {"big:5000000", *tasks}


def test_closing_ends_the_workers_even_in_the_middle():
    with Sandbox(crashing_reader.read, workers=2, seconds=600) as pool:
        results = pool.map(["good:1", "hang", "good:2", "good:3"])
        assert next(results).failure is None
        children = psutil.Process().children()
        assert len(children) >= 2
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_a_call_that_is_left_early_leaves_nothing_for_the_next_one():
    with Sandbox(crashing_reader.read, workers=2, seconds=600) as pool:
        left = pool.map(["good:1", "hang", "good:2", "hang"])
        next(left)
        left.close()
        assert sorted(finished.task for finished in pool.map(["good:8", "good:9"])) == ["good:8", "good:9"]


def test_a_worker_that_cannot_start_is_the_pools_fault_not_the_files(tmp_path, monkeypatch):
    (tmp_path / "vanishing.py").write_text("def read(task):\n    return task\n")
    monkeypatch.syspath_prepend(tmp_path)
    import vanishing

    (tmp_path / "vanishing.py").write_text("raise RuntimeError('moved away')\n")
    with Sandbox(vanishing.read) as pool, pytest.raises(QuireError, match="moved away"):
        list(pool.map(["a"]))


def test_a_function_of_main_is_refused(monkeypatch):
    monkeypatch.setattr(crashing_reader.read, "__module__", "__main__")
    with pytest.raises(TypeError, match="__main__"):
        Sandbox(crashing_reader.read)


def test_a_plain_script_without_a_guard_works_and_its_death_ends_the_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, psutil, signal, sys
            sys.path.insert(0, sys.argv[1])
            import crashing_reader
            from quire.documents.sandbox import Sandbox
            pool = Sandbox(crashing_reader.read, workers=2, seconds=600)
            for finished in pool.map(["good:1", "hang", "hang"]):
                print(*[child.pid for child in psutil.Process().children()], flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            """
        )
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, str(script), here], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -9
    processes = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_settings_say_what_is_allowed():
    assert PoolSettings().workers == 0
    assert 1 <= cores() <= (os.cpu_count() or 1)
    with pytest.raises(UsageError, match="workers"):
        build(PoolSettings, {"workers": -1})
