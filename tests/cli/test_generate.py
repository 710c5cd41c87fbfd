import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from quire.cli.main import app
from quire.inference.language import load
from quire.inference.settings import InferenceSettings, SamplingSettings
from quire.interop.huggingface import save_model_folder
from quire.limits import usable_cores
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that writes printable ASCII at random."""
    tokenizer = Tokenizer.byte()
    shape = {"vocab_size": tokenizer.vocab_size, "hidden_size": 16, "num_layers": 1, "num_heads": 2}
    model = Transformer(ModelConfig.model_validate(shape | {"context_length": 24, "tie_embeddings": False}))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.3)
        weights = model.head_weight
        weights[:32] = 0
        weights[127:] = 0
        weights[32:127] *= 4
    folder = tmp_path_factory.mktemp("generate") / "run"
    save_model_folder(folder, model, tokenizer)
    return folder


def quire(*words: object, stdin: bytes = b"") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["generate", *map(str, words)], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def test_the_text_goes_to_stdout_and_the_speed_to_stderr(run_folder: Path) -> None:
    code, out, err = quire(run_folder, "Call me", "--seed", 3, "--max-tokens", 40)
    (expected,) = load(run_folder).generate("Call me", SamplingSettings(seed=3, max_tokens=40))
    assert code == 0
    assert out == expected.text + "\n"
    assert "40 tokens" in err
    assert "tokens/s" in err
    assert "first after" in err
    assert "seed 3" in err


def test_without_the_cache_the_text_is_the_same(run_folder: Path) -> None:
    words = (run_folder, "Call me", "--seed", 3, "--max-tokens", 60)  # past the context of 24
    assert quire(*words, "--no-cache")[:2] == quire(*words)[:2]


@pytest.mark.parametrize("words", [("--cache-dtype", "float16"), ("--backend", "native")])
def test_what_is_of_no_use_without_the_cache_is_refused(run_folder: Path, words: tuple[str, str]) -> None:
    code, out, err = quire(run_folder, "Call me", "--no-cache", *words)
    assert (code, out) == (2, "")
    assert f"{' '.join(words)} is of no use: without a cache PyTorch reads" in " ".join(err.split())


def test_a_prompt_is_read_from_standard_input(run_folder: Path) -> None:
    words = ("--seed", 1, "--max-tokens", 9)
    assert quire(run_folder, "-", *words, stdin="Größe".encode())[:2] == quire(run_folder, "Größe", *words)[:2]
    code, out, err = quire(run_folder, "-", *words, stdin=b"Gr\xf6\xdfe")
    assert (code, out) == (2, "")
    assert "standard input: not UTF-8: byte 0xf6 at position 2" in err


def test_no_prompt_begins_a_new_text(run_folder: Path) -> None:
    words = ("--seed", 1, "--max-tokens", 9)
    code, out, _ = quire(run_folder, *words)
    (expected,) = load(run_folder).generate("", SamplingSettings(seed=1, max_tokens=9))
    assert (code, out) == (0, expected.text + "\n")


def test_json_is_one_object_and_nothing_else(run_folder: Path) -> None:
    code, out, _ = quire(run_folder, "Call", "--json", "--samples", 3, "--seed", 5, "--max-tokens", 12)
    told = json.loads(out)
    expected = load(run_folder).generate("Call", SamplingSettings(seed=5, num_samples=3, max_tokens=12))
    assert code == 0
    assert [each["text"] for each in told["completions"]] == [each.text for each in expected]
    assert all(each["finish"] == "length" for each in told["completions"])
    assert 0 < told["seconds_to_first_token"] <= told["seconds"]


def test_several_samples_are_told_apart(run_folder: Path) -> None:
    code, out, _ = quire(run_folder, "Call", "--samples", 2, "--seed", 5, "--max-tokens", 12)
    first, second = load(run_folder).generate("Call", SamplingSettings(seed=5, num_samples=2, max_tokens=12))
    assert code == 0
    assert out == f"--- sample 1\n{first.text}\n--- sample 2\n{second.text}\n"


def test_stop_strings_end_the_text(run_folder: Path) -> None:
    words = (run_folder, "Call", "--seed", 5, "--max-tokens", 40)
    whole = quire(*words)[1]
    code, out, err = quire(*words, "--stop", "never there", "--stop", whole[10:13])
    assert code == 0
    assert out == whole[: whole.index(whole[10:13])] + "\n"
    assert "ended by stop" in err


def test_a_prompt_longer_than_the_context_is_said_to_be_cut(run_folder: Path) -> None:
    code, _, err = quire(run_folder, "x" * 30, "--max-tokens", 3)
    assert code == 0
    assert "its first 6 tokens were not read" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--temperature", -1), "temperature = -1"),
        (("--top-p", 0), "top_p = 0"),
        (("--samples", 0), "num_samples = 0"),
        (("--stop", ""), "stop"),
        (("--device", "abacus"), "abacus"),
        (("-", "-"), "PROMPT: standard input is one prompt"),
    ],
)
def test_wrong_words_exit_with_2(run_folder: Path, words: tuple[object, ...], said: str) -> None:
    code, out, err = quire(run_folder, "Call", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_what_is_no_run_exits_with_2_and_a_broken_run_with_1(run_folder: Path, tmp_path: Path) -> None:
    assert quire(tmp_path / "none")[0] == 2
    assert quire(tmp_path)[0] == 2
    (tmp_path / "config.json").write_bytes((run_folder / "config.json").read_bytes())
    code, _, err = quire(tmp_path)
    assert code == 1
    assert "model.safetensors" in err


def test_a_reader_that_leaves_is_no_error(run_folder: Path) -> None:
    command = [sys.executable, "-m", "quire", "generate", str(run_folder), "Call", "--max-tokens", "400", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert isinstance(process.stdout, io.BufferedReader)
        assert process.stdout.read(5)
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read().decode()
    assert process.returncode == 0
    assert "Traceback" not in err


def test_help_imports_no_torch() -> None:
    program = "import sys, quire.cli.generate, quire.cli.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--logit-bias", "x=1"], "'x=1' is not of the form ID=VALUE"),
        (["--logit-bias", "-1=1"], "logit_bias"),
        (["--json-schema", "no-such-file"], "--json-schema no-such-file: no such file, and no JSON object"),
        (["--json-schema", "{"], "not JSON"),
        (["--json-schema", "{}", "--regex", "a"], "cannot both be given"),
        (["--logprobs", "21"], "logprobs = 21"),
        (["--typical-p", "0"], "typical_p = 0"),
    ],
)
def test_wrong_words_about_sampling_are_refused(run_folder: Path, words: list[str], reason: str) -> None:
    result = CliRunner().invoke(app, ["generate", str(run_folder), "a", *words])
    assert result.exit_code != 0
    assert reason in (str(result.exception) if result.exception else "") + result.output


def test_several_prompts_are_written_one_below_the_other(run_folder: Path) -> None:
    words = ("--samples", 2, "--seed", 5, "--max-tokens", 12)
    code, out, _ = quire(run_folder, "Call", "-", *words, stdin=b"Me")
    texts = load(run_folder).generate(["Call", "Me"], SamplingSettings(seed=5, num_samples=2, max_tokens=12))
    heads = ["prompt 1, sample 1", "prompt 1, sample 2", "prompt 2, sample 1", "prompt 2, sample 2"]
    assert (code, out) == (0, "".join(f"--- {head}\n{each.text}\n" for head, each in zip(heads, texts, strict=True)))
    told = json.loads(quire(run_folder, "Call", "-", *words, "--json", stdin=b"Me")[1])
    assert told["prompts"] == ["Call", "Me"]
    assert [each["prompt"] for each in told["completions"]] == [0, 0, 1, 1]


def test_the_text_ends_where_the_context_is_full_if_that_is_asked_for(run_folder: Path) -> None:
    code, _, err = quire(run_folder, "Call", "--beyond-context", "stop", "--max-tokens", 100, "--ignore-eos")
    assert (code, "ended by context" in err) == (0, True)
    code, _, err = quire(run_folder, "Call", "--beyond-context", "leap")
    assert (code, "beyond_context = 'leap'" in err) == (2, True)


def test_log_probabilities_of_the_prompt_are_told(run_folder: Path) -> None:
    out = quire(run_folder, "Call", "--prompt-logprobs", 2, "--max-tokens", 2, "--json")[1]
    told = json.loads(out)["completions"][0]["prompt_logprobs"]
    assert [each["text"] for each in told] == list("all")
    assert all(len(each["top"]) == 2 for each in told)


def test_weights_threads_guesses_and_backends(run_folder: Path) -> None:
    words = (run_folder, "Call me", "--seed", 3, "--max-tokens", 40)
    plain = quire(*words)[1]
    for options in (("--backend", "torch"), ("--backend", "native"), ("--threads", 2), ("--draft-tokens", 4)):
        assert quire(*words, *options)[:2] == (0, plain), options
    (expected,) = load(run_folder, weights="int8").generate("Call me", SamplingSettings(seed=3, max_tokens=40))
    assert quire(*words, "--weights", "int8")[:2] == (0, expected.text + "\n")
    threads = usable_cores() + 1
    code, out, err = quire(*words, "--threads", threads)
    assert (code, out) == (0, plain)
    assert f"{threads} threads on" in err
    half = load(run_folder, settings=InferenceSettings(cache_dtype="float16"))
    (expected,) = half.generate("Call me", SamplingSettings(seed=3, max_tokens=40))
    assert quire(*words, "--cache-dtype", "float16")[:2] == (0, expected.text + "\n")
    for option, wrong in (
        ("--backend", "abacus"), ("--weights", "int2"), ("--threads", 0), ("--draft-tokens", -1),
        ("--cache-dtype", "float12"),
    ):  # fmt: skip
        code, out, err = quire(*words, option, wrong)
        assert (code, out, str(wrong) in err) == (2, "", True)


@pytest.mark.parametrize("words", [(), ("--samples", "2")])
def test_ctrl_c_keeps_what_was_written(run_folder: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "quire", "generate", str(run_folder), "Call", "--max-tokens", "10000000"]
    command += ["--seed", "1", "--ignore-eos", *words]
    # Without a buffer: what `read` had taken into one would be lost to `communicate`.
    with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        begun = b""
        while len(begun) < 100:
            begun += process.stdout.read(100) or b""
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate()
    out = (begun + rest).decode()
    assert process.returncode == 130, err
    assert b"interrupted" in err
    assert b"Traceback" not in err
    written = out.split("\n--- sample 2")[0].removeprefix("--- sample 1\n").rstrip("\n")
    assert len(written) >= 80
    (expected,) = load(run_folder).generate(
        "Call", SamplingSettings(seed=1, ignore_eos=True, max_tokens=len(written) + 8)
    )
    assert expected.text.startswith(written[: len(expected.text)])
