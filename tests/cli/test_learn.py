"""`quire learn` prints worked computations, takes numbers that begin with a minus, and tells wrong input exactly."""

import json
import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from quire.cli.main import app
from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.scratch import explain
from quire.tokens.tokenizer import Tokenizer

EXERCISE_2 = """
inputs = [1.0, 0.5]

[[layers]]
weights = [[0.6, 0.4], [0.2, 0.8]]
biases = [0.1, -0.1]
activation = "relu"

[[layers]]
weights = [[0.5], [0.7]]
biases = [0.2]
"""


def learn(*words):
    return CliRunner().invoke(app, ["learn", *map(str, words)])


def text(*words):
    result = learn(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def facts(*words):
    return json.loads(text(*words, "--json"))


def refused(*words):
    result = learn(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return " ".join(result.stderr.split())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(EXERCISE_2)
    return path


def test_neuron():
    words = ("--inputs", "2,-1,0.5", "--weights", "0.5,-0.3,0.8", "--bias", "0.2", "--activation", "relu")
    shown = text("neuron", *words)
    assert "x₂ × w₂ = (-1) × (-0.3) = 0.3\n" in shown
    assert "z = 1 + 0.3 + 0.4 + 0.2 = 1.9\n" in shown
    told = facts("neuron", *words)
    assert set(told) == {"title", "result", "steps"}
    assert told["result"]["y"] == pytest.approx(1.9, abs=1e-15)
    assert told["result"]["products"] == pytest.approx([1, 0.3, 0.4])
    assert all(set(step) == {"heading", "lines"} for step in told["steps"])
    assert "$$\nz = 1 + 0.3 + 0.4 + 0.2 = 1.9\n$$" in text("neuron", *words, "--markdown")
    assert "1.900" not in text("neuron", *words, "--digits", "8")


def test_numbers_that_begin_with_a_minus():
    assert "z = -1 - 1 + 0 = -2\n" in text("neuron", "--inputs", "-1,2", "--weights", "1,-.5")
    assert "z = -1 - 1 + 0 = -2\n" in text("neuron", "--inputs=-1,2", "--weights=1,-.5", "--bias", "-0")
    assert facts("softmax", "-1,2")["result"]["scores"] == [-1, 2]
    assert facts("activation", "gelu", "-1.5")["result"]["z"] == -1.5
    assert facts("rotary", "-1,2")["result"]["x"] == [-1, 2]
    assert facts("optimizer", "sgd", "-.5")["result"]["steps"][0]["gradient"] == -0.5


def test_network(file):
    shown = text("network", file)
    assert "layer 2  ReLU(h W₂ + b₂)  1.09" in shown
    assert facts("network", file)["result"]["outputs"] == pytest.approx([1.09], abs=1e-15)
    file.write_text("target = [1.0]\nlearning_rate = 0.1\n" + EXERCISE_2)
    told = facts("network", file)["result"]
    assert told["loss"] == pytest.approx(0.0081)
    assert [row[0] for row in told["gradients"]["1.weights"]] == pytest.approx([0.144, 0.126])
    assert told["loss_after"] < told["loss"]
    assert "dh₁ = dz × w₁₁ = 0.18 × 0.5 = 0.09" in text("network", file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[1.0, 0.5]", "[1.0, 0.5, 2]", "layer 1: weights have 2 rows; inputs are 3 numbers, so there must be 3 rows"),
        ("[[0.5], [0.7]]", "[[0.5]]", "layer 2: weights have 1 row; the outputs of layer 1 are 2 numbers"),
        ("[0.2, 0.8]]", "[0.2]]", "layer 1: row 2 of weights has 1 number, the first row has 2"),
        ("[0.1, -0.1]", "[0.1]", "layer 1: biases have 1 number; weights of shape (2, 2) make 2 neurons"),
        ('"relu"', '"rely"', "layer 1: activation = 'rely'; there are identity, relu, sigmoid"),
        ("biases = [0.2]", 'biases = ["x"]', "layers.1.biases.0 = 'x'"),
        ("biases = [0.2]", "biases = [nan]", "layers.1.biases.0 = nan"),
        ("biases = [0.2]", "biases = [1e9]", "less than or equal to 1000000"),
        (
            "biases = [0.2]",
            "biases = [0.2]\nbias = 1",
            "unknown key 'layers.1.bias', known there: activation, biases, weights",
        ),
        ("inputs = [1.0, 0.5]", "", "inputs = {"),
        ("inputs = [1.0, 0.5]", "inputs = [1.0, 0.5]\nlayer = 1", "unknown key 'layer', known there: inputs, layers"),
        ("inputs = [1.0, 0.5]", "inputs = [", "not valid TOML"),
        ("inputs", "target = [1, 2]\ninputs", "target has 2 numbers; the last layer has 1 neuron"),
        (
            "inputs",
            "target = [1]\nloss = 'binary_cross_entropy'\ninputs",
            "needs a sigmoid in the last layer, not relu",
        ),
        ("inputs", "target = [1]\nlearning_rate = 0\ninputs", "learning_rate = 0: input should be greater than 0"),
    ],
)
def test_a_wrong_network_is_told(file, old, new, message):
    file.write_text(EXERCISE_2.replace(old, new, 1))
    told = refused("network", file)
    assert message in told
    assert "net.toml" in told


def test_a_file_that_is_not_there(tmp_path):
    assert "none.toml: no such file" in refused("network", tmp_path / "none.toml")


def test_gate():
    chosen = facts("gate", "and", "--weights", "8,8", "--bias", "-10")["result"]
    assert [row["z"] for row in chosen["rows"]] == [6, -10, -2, -2]
    assert facts("gate", "and")["result"]["first_correct"] == 16
    assert facts("gate", "xor", "--steps", "5")["result"]["right"] == 0
    assert facts("gate", "XOR", "--hidden", "3")["result"]["right"] == 4


def test_the_other_computations():
    assert facts("softmax", "2,1,0.1", "--temperature", "0.5")["result"]["shares"][0] == pytest.approx(0.8638, abs=1e-4)
    assert "random numbers (seed 0), not learned ones" in " ".join(text("attention", "a few words").split())
    told = facts("attention", "a few words", "--width", 8, "--heads", 2, "--kv-heads", 1, "--seed", 7, "--no-rotary")
    assert (len(told["result"]["q"]), len(told["result"]["k"])) == (2, 1)
    assert told["result"]["scores"][0][0][1] == "-inf"
    told = facts("transformer", "the cat sat on", "--seed", 3, "--layers", 2, "--kv-heads", 1, "--qk-norm")["result"]
    assert (len(told["blocks"]), told["target"], len(told["logits"])) == (2, 3, 3)
    assert sum(told["shares"]) == pytest.approx(1)
    told = facts("transformer", "the cat sat on", "--width", 8, "--hidden", 3, "--cached")["result"]
    assert told["logits"] == pytest.approx(told["logits_without_cache"])
    assert facts("bpe", "low lower lowest", "--merges", "2")["result"]["merges"][1]["token"] == "low"
    assert facts("rotary", "1,0", "--position", "2")["result"]["rotated"] == pytest.approx([-0.4161, 0.9093], abs=1e-4)
    assert "12.5" in text("norm", "3,4")
    assert "the variance" in text("norm", "3,4", "--kind", "layer", "--bias", "-1,1")
    assert facts("optimizer", "adamw", "0.5,-0.3")["result"]["steps"][0]["m"] == pytest.approx(0.05)
    assert facts("optimizer", "momentum", "0.5,-0.3")["result"]["steps"][1]["weight"] == pytest.approx(0.935)
    told = facts("orthogonalize", "3,0/4,5", "--steps", 2)["result"]
    assert [len(values) for values in told["singular_values"]] == [2, 2, 2]
    told = facts("muon", "-3,0/4,5", "1,0/0,1", "--weights", "-1,0/0,2", "--momentum", 0.5)["result"]
    assert told["steps"][0]["mean"] == [[-1.5, 0], [2, 2.5]]
    assert told["steps"][1]["mean"] == [[-0.25, 0], [1, 1.75]]
    assert told["weights"] == [[-1, 0], [0, 2]]
    told = facts("schedule", "cosine", "--steps", 100, "--warmup", 10, "--peak", 0.001, "--at", "0,5,50,99")["result"]
    assert told["rates"] == pytest.approx([0.0001, 0.0006, 0.0005695865504800327, 0])
    assert facts("cross-entropy", "2,1,0.1", "--class", "0")["result"]["loss"] == pytest.approx(0.4170, abs=1e-4)
    told = facts("sampling", "2,1,0.1", "--top-k", "2", "--tokens", "a,b,c", "--uniform", "0.9", "--seen", "0,1")
    assert told["result"]["drawn_token"] == "b"
    assert facts("example", "exercise-1")["result"]["y"] == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["neuron", "--inputs", "1", "--weights", "1,2"], "1 input for 2 weights"),
        (["neuron", "--inputs", "1,x", "--weights", "1,2"], "--inputs, number 2: 'x' is not a number"),
        (["neuron", "--inputs", "1,", "--weights", "1,2"], "--inputs, number 2: nothing stands there"),
        (["neuron", "--inputs", "", "--weights", "1"], "--inputs: there is no number"),
        (["neuron", "--inputs", "nan", "--weights", "1"], "--inputs, number 1: nan is not a finite number"),
        (["neuron", "--inputs", "-inf", "--weights", "1"], "--inputs, number 1: -inf is not a finite number"),
        (["neuron", "--inputs", "1e7", "--weights", "1"], "1e7 is too large; from -1,000,000 to 1,000,000"),
        (["neuron", "--inputs", ",".join("1" * 65), "--weights", "1"], "65 numbers; at most 64"),
        (["neuron", "--inputs", "1", "--weights", "1", "--bias", "b"], "--bias: 'b' is not a number"),
        (["neuron", "--inputs", "1", "--weights", "1", "--activation", "step"], "there are identity, relu, sigmoid"),
        (["neuron", "--inputs", "1"], "Missing option '--weights'"),
        (["neuron", "--inputs", "1", "--weights", "1", "--json", "--markdown"], "--json and --markdown exclude"),
        (["neuron", "--inputs", "1", "--weights", "1", "--digits", "0"], "--digits: 0 is not from 1 to 12"),
        (["gate", "nand"], "'nand' is no gate; there are and, or, xor"),
        (["gate", "and", "--weights", "8,8"], "weights without a bias"),
        (["gate", "and", "--weights", "8,8", "--bias", "1", "--hidden", "2"], "leave out --hidden"),
        (["gate", "and", "--steps", "-1"], "--steps: -1 is not from 0 to 20,000"),
        (["gate", "and", "--learning-rate", "0"], "learning_rate is 0.0; it must be above 0"),
        (["softmax", "1,2", "--temperature", "0"], "temperature is 0.0; it must be above 0"),
        (["activation", "swish", "1"], "'swish' is no activation"),
        (["activation", "relu", "one"], "Z: 'one' is not a number"),
        (["attention", ""], "TEXT: the text is empty"),
        (["attention", "  "], "TEXT: there is no word"),
        (["attention", "w " * 9], "9 words; at most 8"),
        (["attention", "a b", "--width", "5"], "a width of 5 cannot be cut into 1 head of an even width"),
        (["attention", "a b", "--heads", "2", "--kv-heads", "3"], "3 must divide them"),
        (["transformer", ""], "TEXT: the text is empty"),
        (["transformer", "word"], "at least two words are needed: the last is the target"),
        (["transformer", "word", "--cached"], "at least two words are needed: one to be read before"),
        (["transformer", "w " * 9], "9 words; at most 8"),
        (["transformer", "a b", "--heads", "4"], "a width of 4 cannot be cut into 4 heads of an even width"),
        (["transformer", "a b", "--kv-heads", "3"], "3 must divide them"),
        (["transformer", "a b", "--layers", "0"], "--layers: 0 is not from 1 to 4"),
        (["transformer", "a b", "--hidden", "17"], "--hidden: 17 is not from 1 to 16"),
        (["bpe", "a" * 2001], "2,001 characters; at most 2,000"),
        (["bpe", ""], "the text is empty"),
        (["rotary", "1,2,3"], "an even number of numbers"),
        (["norm", "1,2", "--kind", "batch"], "'batch' is no norm; there are rms, layer"),
        (["norm", "1,2", "--weight", "1"], "one number for each column"),
        (["orthogonalize", "0,0/0,0"], "it has no direction"),
        (["orthogonalize", "1e-6,0"], "the gradient is too near to 0"),
        (["orthogonalize", "1e5,1e-5"], "the gradient has 100000 and 1e-05 in it: too far apart"),
        (["orthogonalize", "1,2", "--steps", "11"], "11 steps; from 1 to 10"),
        (["muon", "1,2/3"], "G, step 1, row 2: 1 numbers, and 2 in the first row"),
        (["muon", "1,2/3,x"], "G, step 1, row 2, number 2: 'x' is not a number"),
        (["muon", "1,1,1,1,1,1,1"], "1 rows of 7; at most 6 of 6"),
        (["muon", "1,2", "1,2/3,4"], "w has the shape (1, 2) and its gradient (2, 2)"),
        (["muon", "1,2", "--momentum", "1"], "momentum is 1.0"),
        (["optimizer", "adam", "1"], "'adam' is no optimizer; there are sgd, momentum, adamw"),
        (["optimizer", "adamw", "1", "--betas", "0.9"], "--betas: 1 given; there are two"),
        (
            ["schedule", "step", "--steps", "9", "--at", "0"],
            "'step' is no schedule; there are constant, linear, cosine",
        ),
        (["schedule", "cosine", "--steps", "9", "--at", "9"], "step 9 is not among the 9 steps from 0 to 8"),
        (["schedule", "cosine", "--steps", "9", "--at", "0,1.5"], "--at, number 2: 1.5 is not a whole number"),
        (["schedule", "cosine", "--steps", "9", "--at", "0", "--warmup", "9"], "a warmup of 9 steps does not fit into"),
        (["schedule", "cosine", "--steps", "9", "--at", "0", "--peak", "0"], "peak is 0.0; it must be above 0"),
        (["schedule", "cosine", "--steps", "0", "--at", "0"], "--steps: 0 is not from 1 to 1,000,000,000"),
        (["schedule", "constant", "--steps", "9", "--at", "0", "--final", "1e-4"], "has no final rate"),
        (["schedule", "linear", "--steps", "9", "--at", "0", "--final", "1"], "from 0 to the peak, 0.001"),
        (["cross-entropy", "1,2", "--class", "2"], "class 2 is not among the 2 classes"),
        (["sampling", "1,2", "--tokens", "a"], "--tokens: 1 tokens for 2 scores"),
        (["sampling", "1,2", "--seen", "0.5"], "--seen, number 1: 0.5 is not a whole number"),
        (["sampling", "1,2", "--top-p", "2"], "top-p must be more than 0 and at most 1"),
        (["example", "exercise-9"], "there are first-neuron, exercise-1"),
    ],
)
def test_wrong_words_are_told(words, message):
    assert message in refused(*words)


def test_a_trained_head(tmp_path):
    tokenizer = Tokenizer.byte()
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_layers=2, num_heads=2, num_kv_heads=1, context_length=16
    )
    save_model_folder(tmp_path, Transformer(config), tokenizer)
    told = facts("attention", "a dog", "--run", tmp_path, "--layer", 1, "--head", 1)["result"]
    assert told["tokens"] == ["a", "␣", "d", "o", "g"]
    assert [sum(row) for row in told["weights"]] == pytest.approx([1] * 5)
    assert "--layer: 2 is not from 0 to 1" in refused("attention", "a", "--run", tmp_path, "--layer", 2)
    assert "17 tokens; at most 16" in refused("attention", "a" * 17, "--run", tmp_path)


def test_alone_it_says_what_there_is():
    for words in ((), ("--help",)):
        shown = learn(*words).output
        assert "quire learn softmax 2,1,0.1 --temperature 0.5" in shown
        assert "neuron" in shown
    assert "--temperature" in learn("softmax").output
    assert "learn" in CliRunner().invoke(app, ["--help"]).output


def test_help_and_numbers_import_no_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from quire.cli.main import app;"
        "assert CliRunner().invoke(app, {words}).exit_code == 0; print(sorted({{'torch', 'numpy'}} & set(sys.modules)))"
    )
    for words, imported in ((["--help"], []), (["learn", "--help"], []), (["learn", "softmax", "1,2"], ["numpy"])):
        done = subprocess.run(
            [sys.executable, "-c", code.format(words=words)], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == str(imported)


SENT_AGAIN = """
import os, signal, sys
from quire.cli import main
main.end_on_sigterm()
try:
    os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    print("told", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("by_torchrun", [False, True])
def test_sigterm_ends_as_ctrl_c_does_and_the_second_one_at_once(by_torchrun):
    environment = {**os.environ, **({"TORCHELASTIC_RUN_ID": "1"} if by_torchrun else {})}
    done = subprocess.run(
        [sys.executable, "-c", SENT_AGAIN], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "" if by_torchrun else "told\n")


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the output")
def test_a_closed_output_is_no_crash():
    command = f'"{sys.executable}" -m quire learn softmax 2,1 >&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_printed_is_what_the_library_says():
    assert text("softmax", "2,1") == explain.softmax([2, 1]).to_text()
    assert text("softmax", "2,1", "--markdown") == explain.softmax([2, 1]).to_markdown()


@pytest.mark.parametrize("option", ["--layer", "--head"])
def test_a_part_of_a_trained_model_needs_the_model(option):
    assert f"{option}: names a part of a trained model: it needs --run" in refused("attention", "a b", option, 1)


def test_one_is_one():
    assert "1 byte, 1 word." in text("bpe", "a")
    assert "1 byte became 1 token." in text("bpe", "a")
    assert "Softmax of 1 score\n" in text("softmax", 3)
