"""Every statement of every explanation passes the arithmetic check of the documentation, whatever the input."""

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from quire.scratch import explain
from quire.scratch.activations import ACTIVATIONS
from quire.scratch.explain import examples
from quire.scratch.network import Network
from scratch.statements import checked, holds

short = st.integers(-3000, 3000).map(lambda thousandths: thousandths / 1000)
# Numbers that a person would put in: not so near to 0 that they vanish beside a 1.
STRAIGHT = (Phase.explicit, Phase.reuse, Phase.generate)  # making these failures smaller takes minutes
any_number = st.one_of(short, st.floats(1e-3, 50), st.floats(-50, -1e-3), st.sampled_from([0.0, -1e5, 1 / 3, 1e-5]))
names = st.sampled_from(sorted(ACTIVATIONS))


def rows(least=1, most=4, numbers=any_number):
    return st.lists(numbers, min_size=least, max_size=most)


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_solved_examples(name):
    holds(examples.EXAMPLES[name](), 0 if name == "xor-by-a-hidden-layer" else 3)


@given(st.data(), names, any_number)
@settings(max_examples=25, deadline=None)
def test_neuron(data, activation, bias):
    inputs = data.draw(rows())
    weights = data.draw(rows(len(inputs), len(inputs)))
    holds(explain.neuron(inputs, weights, bias, activation))


@given(names, any_number)
@settings(max_examples=20, deadline=None)
def test_activation(name, z):
    holds(explain.activation(name, z), 0)


@given(rows(), st.sampled_from([0.1, 0.5, 1.0, 1.7, 30.0]))
@settings(max_examples=20, deadline=None)
def test_softmax(scores, temperature):
    holds(explain.softmax(scores, temperature=temperature))


@given(st.integers(0, 1000), st.sampled_from(["relu", "tanh", "gelu", "sigmoid"]), rows(2, 2), rows(2, 2, short))
@settings(max_examples=6, deadline=None, phases=STRAIGHT)
def test_backpropagation(seed, activation, inputs, target):
    network = Network.random((2, 2, 2), activation, "identity", seed)
    holds(explain.backpropagation(network, inputs, target), 10)
    chances = [min(abs(value) / 3, 1.0) for value in target]
    network = Network.random((2, 2, 2), activation, "sigmoid", seed)
    holds(explain.backpropagation(network, inputs, chances, loss="binary_cross_entropy", learning_rate=0.01), 10)


@given(rows(1, 3, short), st.sampled_from([0.001, 0.1, 1.0]), st.sampled_from([0.0, 0.01, 0.1]))
@settings(max_examples=12, deadline=None)
def test_optimizers(gradients, learning_rate, decay):
    holds(explain.sgd(1.0, gradients, learning_rate))
    holds(explain.momentum(-0.5, gradients, learning_rate))
    holds(explain.adamw(0.3, gradients, learning_rate, weight_decay=decay), 3)


sizes = st.integers(1, 4)


@given(st.data(), sizes, sizes, st.booleans())
@settings(max_examples=8, deadline=None, phases=STRAIGHT)
def test_muon(data, m, n, plain):
    numbers = st.integers(-4, 4).map(float) if plain else short | st.sampled_from([-1e5, 1 / 3])
    gradients = [np.array([data.draw(rows(n, n, numbers)) for _ in range(m)]) for _ in range(2)]
    if gradients[0].any():
        holds(explain.orthogonalization(gradients[0], data.draw(st.integers(1, 6))), 1)
    moved = explain.muon(np.full((m, n), 0.3), gradients, momentum=data.draw(st.sampled_from([0.0, 0.5, 0.95])))
    holds(moved, 0)  # its equations are of matrices, which are read in Markdown only
    assert checked(moved.to_markdown(), computed=True)[0] >= 6


@given(rows(4, 4, st.integers(-4, 4).map(float)))
@example([1.0, 2.0, 2.0, 4.0])  # of rank 1
@example([1e-5, 0.0, 0.0, 50.0])
@example([1.0, -4.0, 4.0, 1.0])  # rows at right angles, but for the noise of their product
@settings(max_examples=10, deadline=None, phases=STRAIGHT)
def test_two_by_two(numbers):
    if any(numbers):
        holds(explain.orthogonalization(np.reshape(numbers, (2, 2))), 5)


@given(rows(2, 4), st.integers(0, 3))
@example([0.0, 29.0], 0)
@example([0.0, 33.0], 0)
@example([33.0, 0.0], 0)
@example([33.0, 40.0, -33.0], 1)
@example([9.5, 0.0], 0)  # of 1 - 0.9999 one digit is left, and its logarithm has five
@settings(max_examples=12, deadline=None)
def test_losses(numbers, chosen):
    holds(explain.cross_entropy(numbers, min(chosen, len(numbers) - 1), text_bytes=3))
    holds(explain.mean_squared_error(numbers, numbers[::-1]))
    holds(explain.binary_cross_entropy(numbers, [i % 2 for i in range(len(numbers))]))


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([(1, 1), (2, 1), (2, 2)]))
@settings(max_examples=6, deadline=None, phases=STRAIGHT)
def test_attention(seed, rotary, heads):
    words = ["what", "stands", "here", "means", "nothing"][: 1 + seed % 4]
    holds(explain.attention_of_words(words, num_heads=heads[0], num_kv_heads=heads[1], seed=seed, rotary=rotary), 3)


@given(rows(4, 4), st.integers(0, 200), any_number)
@settings(max_examples=12, deadline=None)
def test_positions(x, position, other):
    holds(explain.rotary(x, position))
    holds(explain.rotary_distance(x, [other, 1, 0, -0.5]))
    holds(explain.sinusoidal(position, 6))


@given(rows(2, 4, short), st.data())
@settings(max_examples=12, deadline=None)
def test_norms(x, data):
    weight, bias = data.draw(rows(len(x), len(x), short)), data.draw(rows(len(x), len(x), short))
    holds(explain.rms_norm(x, weight))
    holds(explain.layer_norm(x, weight, bias))


@given(st.integers(0, 10**6))
@settings(max_examples=6, deadline=None, phases=STRAIGHT)
def test_feed_forward_and_layers(seed):
    generator = np.random.default_rng(seed)
    draw = generator.standard_normal
    holds(explain.swiglu(draw(2), draw((3, 2)), draw((3, 2)), draw((2, 3))), 5)
    holds(explain.mlp(draw(2), draw((3, 2)), draw(3), draw((2, 3)), draw(2)), 5)
    holds(explain.layer(draw((2, 3)), draw((3, 2)), draw(2), "silu"), 5)
    holds(explain.layer(np.round(draw((2, 3)), 2), np.round(draw((3, 2)), 1), np.round(draw(2), 2)), 5)


@given(
    rows(2, 5),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    st.integers(0, 3),
    st.sampled_from([0.3, 0.9, 1.0]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([1.0, 1.3]),
)
@settings(max_examples=20, deadline=None)
def test_sampling(scores, temperature, top_k, top_p, min_p, penalty):
    holds(
        explain.sampling(
            scores,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=penalty,
            seen=[0],
            uniform=0.4,
        ),
        0,
    )


@given(st.text("ab =≈12+ ", min_size=1, max_size=20), st.integers(0, 4))
@settings(max_examples=12, deadline=None)
def test_merges(text, merges):
    _, problems = checked(explain.bpe(text, merges).to_markdown(), computed=True)
    assert not problems or any(sign in text for sign in "=≈")


@given(st.data(), st.sampled_from(["constant", "linear", "cosine"]), st.integers(1, 10**6))
@settings(max_examples=20, deadline=None)
def test_schedules(data, name, steps):
    warmup = data.draw(st.integers(0, steps - 1))
    at = data.draw(st.lists(st.integers(0, steps - 1), min_size=1, max_size=3))
    peak = data.draw(st.sampled_from([0.001, 3e-4, 0.02, 1.0, 1 / 3, 6e-7]))
    final = 0.0 if name == "constant" else peak * data.draw(st.sampled_from([0.0, 0.1, 1 / 3, 1.0]))
    holds(explain.schedule(name, at, steps, peak, warmup, final), 0)
