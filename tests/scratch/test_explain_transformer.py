"""The transformer worked out: every number is that of the model, and each sum stands there."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.scratch import explain
from quire.scratch import transformer as blocks
from quire.scratch.activations import softmax
from quire.scratch.positions import rotary_angles
from quire.scratch.transformer import Transformer, TransformerConfig


def random_model(seed=0, **kwargs):
    """A model of which no matrix is zero and no norm is one, in which every part counts."""
    shape = {"vocab_size": 5, "hidden_size": 4, "num_layers": 1, "num_heads": 2, "context_length": 8}
    config = TransformerConfig(**(shape | {"intermediate_size": 3} | kwargs))
    generator = np.random.default_rng(seed)
    return Transformer(config, {name: generator.normal(0.3, 0.7, s) for name, s in config.weight_shapes().items()})


SHAPES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "num_layers": st.integers(1, 2),
        "num_kv_heads": st.sampled_from([1, 2]),
        "qk_norm": st.booleans(),
        "tie_embeddings": st.booleans(),
    }
)
TOKENS = st.lists(st.integers(0, 4), min_size=2, max_size=4)


@given(SHAPES, TOKENS, st.integers(0, 4))
@settings(max_examples=10, deadline=None)
def test_the_numbers_are_those_of_the_model(shape, tokens, target):
    model = random_model(**shape)
    worked = explain.transformer(model, tokens, target)
    logits, kept = model.forward([tokens])
    assert np.array_equal(worked.result["logits"], logits[0])
    assert worked.result["shares"] == pytest.approx(softmax(logits[0, -1]))
    assert worked.result["loss"] == pytest.approx(-math.log(worked.result["shares"][target]))
    assert worked.result["likeliest"] == model.generate(tokens, 1)[0]
    for told, one in zip(worked.result["blocks"], kept.blocks, strict=True):
        assert np.array_equal(told["weights"], one.attention.attend.weights[0])
        assert np.array_equal(told["hidden"], one.mlp.down.x[0])
    json.dumps(worked.to_json(), allow_nan=False)


@given(SHAPES, TOKENS)
@settings(max_examples=10, deadline=None)
def test_the_step_with_a_cache_has_the_scores_of_the_step_without(shape, tokens):
    model = random_model(**shape)
    told = explain.cached_step(model, tokens).result
    logits, kept = model.forward([tokens])
    assert told["logits"] == pytest.approx(logits[0, -1], abs=1e-12)
    assert np.array_equal(told["logits_without_cache"], logits[0, -1])
    for layer, one in enumerate(kept.blocks):
        attended = one.attention.attend
        assert told["keys_read"][layer] == pytest.approx(attended.k[0, :, :-1], abs=1e-12)
        assert told["values_read"][layer] == pytest.approx(attended.v[0, :, :-1], abs=1e-12)
    assert told["work"]["keys_and_values"] == model.config.num_layers
    assert told["work_without_cache"]["keys_and_values"] == model.config.num_layers * len(tokens)


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_a_block_has_the_numbers_of_its_module(seed, length):
    model = random_model(seed, num_kv_heads=1)
    weights = blocks.within(model.parameters, "model.layers.0.")
    x = np.random.default_rng(seed).standard_normal((length, 4))
    worked = explain.block(x, weights, model.config)
    y, _ = blocks.block(x[None], weights, model.config, rotary_angles(np.arange(length), 2))
    assert np.array_equal(worked.result["y"], y[0])
    assert worked.result["y"] == pytest.approx(x + worked.result["gathered"] + worked.result["update"])


def one_by_hand(**kwargs):
    """A width of 2 and matrices of which each sum can be told at sight."""
    config = TransformerConfig(
        vocab_size=3, hidden_size=2, num_layers=1, num_heads=1, context_length=4, intermediate_size=1, **kwargs
    )
    one = np.eye(2)
    weights = {
        "model.embed_tokens.weight": np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 2.0]]),
        "model.norm.weight": np.ones(2),
        "model.layers.0.input_layernorm.weight": np.ones(2),
        "model.layers.0.post_attention_layernorm.weight": np.array([1.0, 0.5]),
        "model.layers.0.mlp.gate_proj.weight": np.array([[1.0, 2.0]]),
        "model.layers.0.mlp.up_proj.weight": np.array([[0.0, 0.0]]),
        "model.layers.0.mlp.down_proj.weight": np.array([[1.0], [1.0]]),
    }
    weights |= {f"model.layers.0.self_attn.{name}_proj.weight": one for name in "qkvo"}
    return Transformer(config, weights)


def test_a_transformer_by_hand():
    model = one_by_hand(qk_norm=False, norm_eps=1e-20)
    worked = explain.transformer(model, [0], 2, names=["a", "b", "c"], note="Chosen by hand.")
    # The row (1, 1) has the root mean square 1, the token sees only itself, and nothing passes the gate.
    told = worked.result["blocks"][0]
    assert told["gathered"].tolist() == [[1, 1]]
    assert told["update"].tolist() == [[0, 0]]
    assert worked.result["logits"] == pytest.approx(np.array([[2, 0, 2]]))
    assert worked.result["loss"] == pytest.approx(math.log(2 + math.exp(-2)))
    text = worked.to_text()
    assert "Chosen by hand." in text
    assert "X' = X + Y = [ 1  1 ] + [ 1  1 ] = [ 2  2 ]\n" in text
    assert "z₃ = 1 × 0 + 1 × 2 = 0 + 2 = 2\n" in text
    assert "E₂ = e^(-2) ≈ 0.1353\n" in text
    assert "p₃ ≈ 1 / 2.1353 ≈ 0.4683\n" in text
    assert "loss ≈ -ln(0.4683) ≈ 0.7586\n" in text
    assert "And each column times its learned weight:" in text
    assert "w = [ 1  0.5 ]\n" in text
    assert r"W_{\text{gate}}" in worked.to_markdown()
    assert r"X'' = X' + M" in worked.to_markdown()


def test_what_stands_there_of_several_blocks_and_of_the_norm_of_queries():
    two = explain.transformer_of_words(["a", "few", "words"], num_layers=2, qk_norm=True)
    headings = [each.heading for each in two.steps]
    assert "Block 1: the norm of X, token by token" in headings
    assert "Block 2: head 2: softmax" in headings
    assert "Block 2: the norm of queries and keys, head by head" in headings
    assert "The stream that block 1 gave is the X of block 2." in two.to_text()
    assert two.title == "A transformer with 2 blocks, from tokens to scores"


def test_a_prime_and_a_transpose_are_two_superscripts_which_katex_refuses_without_braces():
    markdown = explain.transformer_of_words(["a", "few", "words"]).to_markdown()
    assert r"{K'_{1}}^{\top}" in markdown
    assert not re.search(r"'_\{\d+\}\^", markdown)
    assert r"K'^{\top}" in explain.attention_of_words(["a", "few"]).to_markdown()


def test_what_the_cache_holds_and_saves():
    worked = explain.transformer_of_words(["the", "cat", "sat", "on"], cached=True)
    text = worked.to_text()
    assert "Rows 1 to 3 are read from the cache; only what is below was computed now:" in text
    assert "The token stands at position 3, since 3 stand before it." in text
    assert "nothing is masked" in text
    assert "1 × 2 × 1 × 4 = 8 | 1 × 2 × 4 × 4 = 32\n" in text
    assert "Written out:" in text
    assert "Row 1 is read from the cache" in explain.transformer_of_words(["the", "cat"], cached=True).to_text()


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=5, deadline=None)
def test_words_give_the_same_model_with_and_without_a_cache(seed, qk_norm):
    words = ["a", "b", "a", "c"]
    step = explain.transformer_of_words(words, seed=seed, qk_norm=qk_norm, cached=True)
    whole = explain.transformer_of_words([*words, "a"], seed=seed, qk_norm=qk_norm)
    assert step.result["logits"] == pytest.approx(whole.result["logits"][-1], abs=1e-12)
    assert whole.result["target"] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: explain.transformer(m, []), "at least one id; their shape is"),
        (lambda m: explain.transformer(m, [[1, 2]]), "tokens must be a row"),
        (lambda m: explain.transformer(m, [5]), "token 5"),
        (lambda m: explain.transformer(m, [0] * 9), "9 tokens are more than the context of 8"),
        (lambda m: explain.transformer(m, [1], 5), "class 5 is not among the 5 classes"),
        (lambda m: explain.transformer(m, [1], names=["a"]), "1 names for a vocabulary of 5"),
        (lambda m: explain.cached_step(m, [1]), "at least two ids"),
        (lambda m: explain.cached_step(m, [1, 2], names=["a"]), "1 names for a vocabulary of 5"),
        (lambda m: explain.block([[1, 2]], {}, m.config), r"x must be \(tokens, 4\); its shape is \(1, 2\)"),
        (lambda m: explain.block([[1] * 4], {}, m.config), "missing .'input_layernorm.weight'"),
        (
            lambda m: explain.block(
                [[1] * 4],
                blocks.within(m.parameters, "model.layers.0.") | {"mlp.up_proj.weight": np.ones((4, 3))},
                m.config,
            ),
            r"mlp.up_proj.weight must be \(3, 4\), not \(4, 3\)",
        ),
        (
            lambda m: explain.block(
                [[1] * 4], blocks.within(m.parameters, "model.layers.0."), m.config, names=["a", "b"]
            ),
            "2 names for 1 tokens",
        ),
        (lambda m: explain.transformer_of_words(["a"]), "at least two words are needed"),
        (lambda m: explain.transformer_of_words(["a", "b"], width=6), "6 cannot be cut into 2 heads"),
        (lambda m: explain.transformer_of_words(["a", "b"], num_kv_heads=3), "3 must divide them"),
    ],
)
def test_wrong_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call(random_model())
