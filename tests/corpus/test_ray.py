"""The engine ray on a cluster of two nodes in this machine: it must make what the local engine makes."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import killing_reader
import marked_reader
import psutil
import pytest
from ingesting import FILES, contents, ingest_marked, make_tree, settings_with

from quire.corpus.build import ingest
from quire.corpus.engines import EngineSettings, opened
from quire.corpus.reading import Task
from quire.corpus.store import Corpus
from quire.documents.sandbox import PoolSettings
from quire.documents.settings import ReadSettings
from quire.errors import QuireError

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
pytest.importorskip("ray.data", reason="the extra quire[ray] is not installed")

import ray
from ray.cluster_utils import Cluster

from quire.corpus.ray_engine import BUNDLE_BYTES, BUNDLE_FILES, bundles

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    checks = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"_system_config": checks})
    cluster.add_node(**NODE)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def on_ray(cluster):
    """Settings of the engine; it uses the connection that there is, so that Ray's processes serve several tests."""
    if not ray.is_initialized():
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    return {"name": "ray", "address": cluster.address}


@pytest.fixture
def unconnected():
    ray.shutdown()


def ended(out):
    return {row.path: (row.outcome, row.rule) for row in Corpus.open(out).files() if row.member is None}


def test_the_same_corpus_as_the_local_engine_makes(tmp_path, on_ray):
    folder = make_tree(tmp_path / "in", FILES | {f"more/{number:03}.txt": f"text {number}" for number in range(100)})
    ingest_marked(folder, tmp_path / "local")
    steps = []
    account = ingest_marked(folder, tmp_path / "ray", engine=on_ray, workers=0, progress=steps.append)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert account.files_read == len(FILES) + 100
    reading = [step.files for step in steps if step.stage == "reading"]
    assert reading == list(range(len(FILES) + 101))  # each reading is told and recorded by itself
    again = ingest_marked(folder, tmp_path / "ray", engine=on_ray)
    assert again.files_read == 0
    assert again.fingerprint == account.fingerprint


def test_limits_of_time_hold_inside_of_ray(tmp_path, on_ray):
    folder = make_tree(tmp_path / "in", {"hang.txt": "hang", "a.txt": "one text", "crash.txt": "crash"})
    ingest_marked(folder, tmp_path / "out", engine=on_ray, seconds=5.0)
    assert ended(tmp_path / "out") == {
        "a.txt": ("kept", None),
        "crash.txt": ("failed", "crashed"),
        "hang.txt": ("failed", "time-limit"),
    }


def test_a_killed_worker_is_replaced_and_what_it_had_is_read_again(tmp_path, on_ray):
    files = {f"{number:02}.txt": f"text {number}" for number in range(20)}
    folder = make_tree(tmp_path / "in", files | {"once.txt": f"kill-once {tmp_path / 'flag'}"})
    ingest(folder, tmp_path / "out", settings_with(engine=on_ray), reader=killing_reader.read)
    assert (tmp_path / "flag").exists()
    assert set(ended(tmp_path / "out").values()) == {("kept", None)}


def test_what_kills_every_worker_costs_itself_alone(tmp_path, on_ray):
    files = {f"{number:02}.txt": f"text {number}" for number in range(20)}
    folder = make_tree(tmp_path / "in", files | {"always.txt": "kill-always"})
    ingest(folder, tmp_path / "out", settings_with(engine=on_ray), reader=killing_reader.read)
    expected = dict.fromkeys(files, ("kept", None)) | {"always.txt": ("failed", "killed")}
    assert ended(tmp_path / "out") == expected


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from ingesting import ingest_marked

def kill(step):
    if step.stage == "reading" and step.files == 25:
        os.kill(os.getpid(), signal.SIGKILL)

engine = {"name": "ray", "address": sys.argv[4]}
ingest_marked(sys.argv[2], sys.argv[3], engine=engine, workers=0, progress=kill)
"""


def test_a_killed_run_goes_on_where_it_stopped(tmp_path, on_ray):
    files = {f"{number:02}.txt": f"text {number}" for number in range(60)}
    folder = make_tree(tmp_path / "in", files)
    words = [str(Path(__file__).parent), str(folder), str(tmp_path / "out"), on_ray["address"]]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    steps = []
    ingest_marked(folder, tmp_path / "out", engine=on_ray, progress=steps.append)
    reading = [step for step in steps if step.stage == "reading"]
    assert reading[0].known == 25  # of these not even the content had to be looked at
    ingest_marked(folder, tmp_path / "local")
    assert contents(tmp_path / "out") == contents(tmp_path / "local")


def test_the_run_survives_the_loss_of_a_machine(tmp_path, cluster, on_ray):
    files = {f"{number:02}.txt": f"text {number}" for number in range(60)}
    folder = make_tree(tmp_path / "in", files)
    lost = cluster.add_node(**NODE)

    def lose(step):
        if step.stage == "reading" and step.files == 5:
            cluster.remove_node(lost, allow_graceful=False)

    ingest_marked(folder, tmp_path / "out", engine=on_ray, workers=0, progress=lose)
    assert set(ended(tmp_path / "out").values()) == {("kept", None)}


def test_nothing_runs_on_after_an_engine_that_started_its_own_cluster(tmp_path, unconnected):
    folder = make_tree(tmp_path / "in", {"a.txt": "one text"})
    started, folders = set(), set()

    def look(step):
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ends while it is looked at
                if found := re.search(r"/[^\s=]*quire-ray-\w+", " ".join(process.cmdline())):
                    folders.add(found[0])
                    started.update((process, *process.children(recursive=True)))

    ingest_marked(folder, tmp_path / "out", engine={"name": "ray"}, progress=look)
    assert started
    assert not ray.is_initialized()
    while left := [process for process in started if runs(process)]:  # Ray's workers follow their node in a moment
        psutil.wait_procs(left, timeout=0.1)
    assert len(folders) == 1
    assert not any(Path(name).exists() for name in folders)


def runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_no_cluster_is_started_where_nothing_has_to_be_read(unconnected):
    with opened(EngineSettings(name="ray"), PoolSettings()) as engine:
        assert list(engine.map([])) == []
        assert not ray.is_initialized()


def test_a_cluster_that_does_not_answer_is_an_error_that_names_it(tmp_path, unconnected):
    folder = make_tree(tmp_path / "in", {"a.txt": "one text"})
    with pytest.raises(QuireError, match=r"no Ray cluster at 127\.0\.0\.1:9: "):
        ingest_marked(folder, tmp_path / "out", engine={"name": "ray", "address": "127.0.0.1:9"})


def test_bundles_hold_every_task_once_in_order_and_no_more_than_they_may():
    sizes = [5_000_000, 3_000_000, 1_500_000, 600_000, *range(100)]
    tasks = [Task(b"", str(number), size, (), ReadSettings(), marked_reader.read) for number, size in enumerate(sizes)]
    for at_least in (1, 5, 1000):
        made = list(bundles(tasks, at_least))
        assert [task for bundle in made for task in bundle] == tasks
        assert all(len(bundle) <= BUNDLE_FILES for bundle in made)
        assert all(len(bundle) == 1 or sum(task.size for task in bundle) <= BUNDLE_BYTES for bundle in made)
        assert len(made) >= min(at_least, len(tasks))
