"""Explanations: the solved examples with their values, what their text and their Markdown say, and wrong input."""

import json
import math

import numpy as np
import pytest

from quire.scratch import activations, explain, learning, losses
from quire.scratch import attention as attentions
from quire.scratch.bpe import BytePairEncoder
from quire.scratch.explain import examples
from quire.scratch.layers import Layer
from quire.scratch.network import Network

EXAMPLES = {name: function() for name, function in examples.EXAMPLES.items()}


def test_the_first_neuron():
    worked = EXAMPLES["first-neuron"]
    assert worked.result["products"] == pytest.approx([0.3, 0.12, 0.16], abs=1e-15)
    assert worked.result["z"] == pytest.approx(0.68, abs=1e-15)
    assert worked.result["y"] == worked.result["z"]
    text = worked.to_text()
    assert "x₁ × w₁ = 0.5 × 0.6 = 0.3\n" in text
    assert "z = 0.3 + 0.12 + 0.16 + 0.1 = 0.68\n" in text
    assert "y = ReLU(0.68) = max(0, 0.68) = 0.68\n" in text
    markdown = worked.to_markdown()
    assert r"x_{2} \times w_{2} &= 0.3 \times 0.4 = 0.12" in markdown
    assert "z = 0.3 + 0.12 + 0.16 + 0.1 = 0.68" in markdown


def test_exercise_1():
    worked = EXAMPLES["exercise-1"]
    assert worked.result["y"] == pytest.approx(1.9, abs=1e-15)
    assert "z = 1 + 0.3 + 0.4 + 0.2 = 1.9\n" in worked.to_text()
    assert "x₂ × w₂ = (-1) × (-0.3) = 0.3\n" in worked.to_text()


def test_exercise_2():
    worked = EXAMPLES["exercise-2"]
    assert worked.result["layers"][0]["outputs"] == pytest.approx([0.8, 0.7], abs=1e-15)
    assert worked.result["outputs"] == pytest.approx([1.09], abs=1e-15)
    text, markdown = worked.to_text(), worked.to_markdown()
    assert "0.8 × 0.5 + 0.7 × 0.7 + 0.2 = 0.4 + 0.49 + 0.2 = 1.09\n" in text
    assert "layer 1  ReLU(x W₁ + b₁)  (0.8, 0.7)\n" in text
    assert r"| layer 2 | $\operatorname{ReLU}(h \, W_{2} + b_{2})$ | $1.09$ |" in markdown


def test_exercise_3():
    worked = EXAMPLES["exercise-3"]
    rows = worked.result["rows"]
    assert [row["inputs"] for row in rows] == [[1, 1], [0, 0], [1, 0], [0, 1]]
    assert [row["z"] for row in rows] == [6, -10, -2, -2]
    expected = [0.9975273768433653, 4.5397868702434395e-05, 0.11920292202211755, 0.11920292202211755]
    assert [row["y"] for row in rows] == pytest.approx(expected, rel=1e-15)
    assert worked.result["right"] == 4
    text = worked.to_text()
    assert "y(0, 0) = σ(-10) = 1 / (1 + e^10) ≈ 1 / (1 + 22026.4658) ≈ 4.5398e-05\n" in text
    for wanted in ("b < 0 is", "w₁ + b < 0 is", "w₂ + b < 0 is", "w₁ + w₂ + b > 0 is"):
        assert wanted in text
    assert text.count("it holds.") == 4


def test_what_exercise_3_leaves_open():
    worked = EXAMPLES["exercise-3-left-open"]
    assert worked.result["right"] == 3
    assert "w₁ + b = 20 - 10 = 10 > 0: it does not hold." in worked.to_text()


def test_exercise_3_learned():
    worked = EXAMPLES["exercise-3-learned"]
    assert worked.result["first_correct"] == 16
    assert worked.result["loss"] == pytest.approx(0.017414387398196375, rel=1e-12)
    assert worked.result["parameters"]["0.weights"][:, 0] == pytest.approx([7.414311377625753] * 2, rel=1e-12)
    assert worked.result["parameters"]["0.biases"][0] == pytest.approx([-11.294073552477853], rel=1e-12)
    text = worked.to_text()
    assert "dw₁ = (0.5 × 0 + 0.5 × 0 + 0.5 × 1 + (-0.5) × 1) / 4 = 0\n" in text
    assert "db = (0.5 + 0.5 + 0.5 - 0.5) / 4 = 0.25\n" in text
    assert "b ← 0 - 1 × 0.25 = -0.25\n" in text
    assert "16   0.8449   0.8449   -1.6877" in text
    assert "All four rows are right from step 16 on." in text


def test_xor():
    alone, hidden = EXAMPLES["xor-by-one-neuron"], EXAMPLES["xor-by-a-hidden-layer"]
    assert alone.result["loss"] == pytest.approx(math.log(2), rel=1e-15)
    assert not np.any(alone.result["parameters"]["0.weights"])
    assert "its loss at ln(2) ≈ 0.6931" in " ".join(alone.to_text().split())
    assert hidden.result["right"] == 4


def test_why_weights_matter():
    result = EXAMPLES["why-weights-matter"].result
    assert result["one_weight"]["products"] == pytest.approx([0.2, 10, -4, 0])
    assert [each["weighted_sum"] for each in result["patterns"]["patterns"]] == pytest.approx([5.2, 1.5, 0])
    assert result["three_neurons"]["outputs"] == pytest.approx([0.8, 0.2, 0.5])
    together = result["without_activation"]
    assert together["one_layer"] == pytest.approx(together["two_layers"], abs=1e-15)
    assert together["weights"] == pytest.approx(np.array([[0.58], [0.66]]))


@pytest.mark.parametrize("worked", EXAMPLES.values(), ids=EXAMPLES)
def test_text_markdown_and_json_say_the_same_steps(worked):
    text, markdown = worked.to_text(), worked.to_markdown()
    told = json.loads(json.dumps(worked.to_json(), allow_nan=False))
    assert told["title"] == worked.title
    assert [each["heading"] for each in told["steps"]] == [each.heading for each in worked.steps]
    for count, each in enumerate(told["steps"], 1):
        assert f"{count}. {each['heading']}\n" in text
        assert f"**{count}. {each['heading']}**\n" in markdown
        for line in each["lines"]:
            assert " ".join(line.split()) in " ".join(text.split())
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "0000000000" not in text
    assert worked.title not in worked.to_markdown(title=False)


@pytest.mark.parametrize("worked", EXAMPLES.values(), ids=EXAMPLES)
def test_formulas_are_of_letters_that_katex_draws(worked):
    formulas = worked.to_markdown().split("$")[1::2]
    assert formulas
    assert all(formula.isascii() for formula in formulas)


def test_more_digits():
    assert "0.99752738" in EXAMPLES["exercise-3"].to_text(digits=8)


def test_a_layer_writes_out_each_sum():
    worked = explain.layer([[1, 2], [3, 4]], [[0.5, -1], [0.25, 2]], [0.1, 0.2], "identity")
    assert worked.result["Y"] == pytest.approx(np.array([[1.1, 3.2], [2.6, 5.2]]))
    assert "z₂₁ = x₂₁ × w₁₁ + x₂₂ × w₂₁ + b₁ = 3 × 0.5 + 4 × 0.25 + 0.1 = 1.5 + 1 + 0.1 = 2.6" in worked.to_text()
    assert "X has 2 rows and 2 columns" in worked.to_text()


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
@pytest.mark.parametrize("z", [-700.0, -1.5, 0.0, 0.5, 3.0, 700.0])
def test_an_activation_has_the_values_of_its_module(name, z):
    part = activations.activation(name)
    result = explain.activation(name, z).result
    assert result["y"] == float(part(z))
    assert result["slope"] == float(part.derivative(z))


def test_softmax():
    worked = explain.softmax([2, 1, 0.1], temperature=0.5)
    assert worked.result["shares"] == pytest.approx(activations.softmax(np.array([4, 2, 0.2])), rel=1e-15)
    text = worked.to_text()
    assert "z₃ / T = 0.1 / 0.5 = 0.2\n" in text
    assert "E₂ = e^(-2) ≈ 0.1353\n" in text
    assert "p₁ ≈ 1 / 1.1577 ≈ 0.8638\n" in text


def test_backpropagation_has_the_gradients_of_the_network():
    network = Network.random((3, 4, 2), "tanh", "sigmoid", 1)
    x, t = np.array([0.5, -1.0, 2.0]), np.array([0.0, 1.0])
    before = {name: values.copy() for name, values in network.parameters.items()}
    for loss in losses.LOSSES:
        worked = explain.backpropagation(network, x, t, loss=loss, learning_rate=0.5)
        Y, kept = network.forward(x[None])
        if loss == "mean_squared_error":
            value, dY = losses.mean_squared_error(Y, t[None])
            _, gradients = network.backward(dY, kept)
        else:
            value, dZ = losses.binary_cross_entropy(kept[-1].Z, t[None])
            _, gradients = network.backward_from_sums(dZ, kept)
        assert worked.result["loss"] == value
        assert worked.result["loss_after"] < value
        for name, gradient in gradients.items():
            assert worked.result["gradients"][name] == pytest.approx(gradient)
            assert worked.result["parameters_after"][name] == pytest.approx(before[name] - 0.5 * gradient)
            assert np.array_equal(network.parameters[name], before[name])


def test_backpropagation_through_exercise_2():
    text = explain.backpropagation(examples.exercise_2_network(), [1, 0.5], [1]).to_text()
    assert "loss = (y - t)^2 = (1.09 - 1)^2 = 0.09^2 = 0.0081\n" in text
    assert "dz = dy × f'(z) = 0.18 × f'(1.09) = 0.18 × 1 = 0.18\n" in text
    assert "dh₂ = dz × w₂₁ = 0.18 × 0.7 = 0.126\n" in text


def test_adamw_by_hand():
    worked = explain.adamw(1.0, [0.5, -0.3], 0.1)
    first = worked.result["steps"][0]
    assert (first["m"], first["v"], first["m_hat"], first["v_hat"]) == pytest.approx((0.05, 0.00025, 0.5, 0.25))
    assert first["weight"] == pytest.approx(0.999 - 0.1 * 0.5 / (0.5 + 1e-8), rel=1e-14)
    assert "m̂ = 0.015 / (1 - 0.9^2) = 0.015 / 0.19 ≈ 0.07895\n" in worked.to_text()


def test_momentum_and_sgd():
    told = explain.momentum(1.0, [0.5, -0.3], 0.1).result["steps"]
    assert [each["weight"] for each in told] == pytest.approx([0.95, 0.935])
    told = explain.sgd(1.0, [0.5, -0.3], 0.1).result["steps"]
    assert [each["weight"] for each in told] == pytest.approx([0.95, 0.98])


def test_attention_has_the_numbers_of_its_module():
    worked = explain.attention_of_words(["a", "few", "a"], width=8, num_heads=4, num_kv_heads=2, seed=3)
    q, k, v = (worked.result[name][None] for name in "qkv")
    out, kept = attentions.attend(q, k, v)
    assert worked.result["weights"] == pytest.approx(kept.weights[0])
    assert worked.result["x"][0] == pytest.approx(worked.result["x"][2])
    assert not np.allclose(worked.result["q"][:, 0], worked.result["q"][:, 2])
    assert worked.result["weights"].sum(axis=-1) == pytest.approx(np.ones((4, 3)))
    text = worked.to_text()
    assert "random numbers (seed 3), not learned ones" in text
    assert "Head 4: softmax" in text
    assert "this one reads number 2" in text
    assert "-∞" in text
    assert r"-\infty" in worked.to_markdown()
    assert out.shape == (1, 4, 3, 2)


def test_attention_without_rotation_and_output_matrix():
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    worked = explain.attention(x, np.eye(2), np.eye(2), np.eye(2), rotary=False)
    assert worked.result["weights"][0, 1] == pytest.approx(activations.softmax(np.array([0, 1 / math.sqrt(2)])))
    assert worked.result["y"] == pytest.approx(worked.result["weights"][0])
    assert "Turned" not in worked.to_text()


def test_rotary_keeps_lengths_and_sees_distances_only():
    worked = explain.rotary([3.0, 4.0], 7)
    assert np.linalg.norm(worked.result["rotated"]) == pytest.approx(5)
    products = [each["product"] for each in explain.rotary_distance([1, 0.5], [0.3, 2]).result["products"]]
    assert products[0] == pytest.approx(products[1], rel=1e-12)


def test_norms():
    assert explain.rms_norm([3, 4], eps=1e-12).result["y"] == pytest.approx(np.array([3, 4]) / 12.5**0.5)
    assert "s = (3^2 + 4^2) / 2 = (9 + 16) / 2 = 12.5\n" in explain.rms_norm([3, 4]).to_text()
    shifted = explain.layer_norm([1, 2, 6], [2, 1, 1], [0, 1, -1], eps=1e-12).result
    assert shifted["normalised"].mean() == pytest.approx(0, abs=1e-12)
    assert shifted["y"][1] == pytest.approx(1 - 1 / math.sqrt(14 / 3))


def test_embedding_is_a_product_with_a_row_of_zeros_and_a_one():
    worked = explain.embedding([2, 0], [[1, 2], [3, 4], [5, 6]], names=["the", "cat", "sat"])
    assert worked.result["x"].tolist() == [[5, 6], [1, 2]]
    assert "e E = [ 0  0  1 ] × ⎢ 3  4 ⎥ = [ 5  6 ]" in worked.to_text()


def test_feed_forward():
    gate, up, down = np.array([[1.0], [-1.0]]), np.array([[2.0], [3.0]]), np.array([[1.0, 1.0]])
    worked = explain.feedforward([1.0], gate, up, down)
    s = float(activations.sigmoid(1))
    assert worked.result["y"] == pytest.approx([2 * s - 3 * (1 - s)])
    plain = explain.mlp([1.0], up, np.zeros(2), down, np.array([0.5]), "relu")
    assert plain.result["y"] == pytest.approx([5.5])


def test_cross_entropy_in_all_its_measures():
    worked = explain.cross_entropy([[2, 1, 0.1], [0, 0, 3]], [0, 1], text_bytes=5)
    loss, dlogits = losses.cross_entropy(np.array([[2, 1, 0.1], [0, 0, 3]]), np.array([0, 1]))
    assert worked.result["loss"] == loss
    assert worked.result["perplexity"] == pytest.approx(math.exp(loss))
    assert worked.result["bits"] == pytest.approx(loss / math.log(2))
    assert worked.result["bits_per_byte"] == pytest.approx(2 * loss / math.log(2) / 5)
    assert worked.result["dlogits"] == pytest.approx(dlogits)


def test_sampling_shows_each_cut():
    worked = explain.sampling(
        np.log([0.4, 0.3, 0.2, 0.1]), names=["a", "b", "c", "d"], top_k=3, top_p=0.7, min_p=0.8, uniform=0.5
    )
    assert worked.result["counts"] == {"tokens": 4, "after_top_k": 3, "after_top_p": 2, "after_min_p": 1}
    assert worked.result["drawn_token"] == "a"
    text = worked.to_text()
    assert "c      0.2222       0.7778             1  out" in text
    assert "limit ≈ 0.8 × 0.5714 ≈ 0.4571" in text
    assert "the likeliest token has the whole mass" in explain.sampling([1, 2], temperature=0).to_text()


def test_merges_are_those_of_the_encoder():
    text = "low lower lowest"
    worked = explain.bpe(text, 4)
    encoder = BytePairEncoder.train(text, 4)
    assert [each["token"] for each in worked.result["merges"]] == ["lo", "low", "␣low", "␣lowe"]
    assert worked.result["ids"] == encoder.encode(text)
    shown = worked.to_text()
    assert "2 pairs stand there 3 times" in shown
    assert "␣lowe s t      1       3" in shown
    assert "16 bytes became 6 tokens." in shown
    assert "`a \\| b`" in explain.bpe("a|b", 1).to_markdown()


def test_gates_by_chosen_weights():
    worked = explain.gate("or", weights=[20, 20], bias=-10)
    assert worked.result["right"] == len(learning.GATES["or"])
    assert "No weights satisfy all four" in explain.gate("xor", weights=[1, 1], bias=-1).to_text()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain.neuron([1], [1, 2]), "1 input for 2 weights"),
        (lambda: explain.neuron([1], [1], activation="step"), "'step' is no activation; there are identity, relu"),
        (lambda: explain.neuron([math.nan], [1]), "number 1 of the inputs is nan"),
        (lambda: explain.activation("relu", math.inf), "z is inf; it must be a finite number"),
        (lambda: explain.softmax([1, 2], temperature=0), "temperature is 0; it must be above 0"),
        (lambda: explain.softmax([]), "scores must be a row"),
        (lambda: explain.softmax([1, math.inf]), "score 2 is inf"),
        (lambda: explain.softmax([1e6, 0], temperature=1e-305), "is too small"),
        (lambda: explain.gate("nand"), "'nand' is no gate; there are and, or, xor"),
        (lambda: explain.gate("and", weights=[1, 2]), "weights without a bias"),
        (lambda: explain.gate("and", weights=[1], bias=0), "1 weights: a gate has two inputs"),
        (lambda: explain.network([Layer([[1.0]], [0.0])], [1, 2]), "inputs must have the shape"),
        (lambda: explain.network([Layer([[1.0]], [0.0])], [math.inf]), "they must be finite numbers"),
        (lambda: explain.backpropagation(Network([Layer([[1.0]], [0.0])]), [1], [1, 2]), "a row of 1 numbers"),
        (
            lambda: explain.backpropagation(Network([Layer([[1.0]], [0.0])]), [1], [1], loss="binary_cross_entropy"),
            "needs a sigmoid in the last layer; it is relu",
        ),
        (lambda: explain.adamw(1, []), "at least one gradient"),
        (lambda: explain.rotary([1, 2, 3], 1), "an even number of numbers"),
        (lambda: explain.attention_of_words([]), "there is no word"),
        (lambda: explain.attention_of_words(["a"], width=6, num_heads=2), "6 cannot be cut into 2 heads"),
        (lambda: explain.attention_of_words(["a"], num_heads=2, num_kv_heads=3), "3 must divide them"),
        (lambda: explain.sampling([1, 2], top_p=0), "top-p must be more than 0"),
        (lambda: explain.bpe(""), "the text is empty"),
        (lambda: explain.normalization([1], kind="batch"), "'batch' is no norm"),
        (lambda: explain.embedding([3], [[1.0], [2.0]]), "token 3"),
    ],
)
def test_wrong_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
