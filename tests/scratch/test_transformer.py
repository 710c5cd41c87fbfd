from dataclasses import fields

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.model.config import ModelConfig
from quire.model.size import count_flops, count_parameters
from quire.model.transformer import Transformer as ModelTransformer
from quire.scratch.bpe import BytePairEncoder
from quire.scratch.cache import KVCache, Work
from quire.scratch.losses import cross_entropy
from quire.scratch.optimizers import AdamW
from quire.scratch.transformer import Transformer, TransformerConfig
from scratch.gradients import numerical_gradient_at, relative_error, some_places

SHAPE = {"vocab_size": 11, "hidden_size": 8, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "head_dim": 4}
SHAPE |= {"intermediate_size": 10, "context_length": 12, "norm_eps": 1e-4, "rope_theta": 50.0}
TOKENS = np.random.default_rng(3).integers(0, 11, (2, 7))
TARGETS = np.random.default_rng(4).integers(0, 11, (2, 7))
VARIANTS = [
    {"num_kv_heads": groups, "tie_embeddings": tied, "qk_norm": qk_norm}
    for groups in (4, 2, 1)
    for tied in (True, False)
    for qk_norm in (True, False)
]


def make(seed=0, **changes):
    """Return a model whose every weight matters: none is 0 or 1 as before training."""
    config = TransformerConfig(**(SHAPE | changes))
    generator = np.random.default_rng(seed)
    shapes = config.weight_shapes()
    return Transformer(
        config, {name: (len(shape) == 1) + 0.4 * generator.standard_normal(shape) for name, shape in shapes.items()}
    )


def model_of(ours):
    """Return the model of `quire.model` with the same weights, in float64."""
    config = {field.name: getattr(ours.config, field.name) for field in fields(ours.config)}
    theirs = ModelTransformer(ModelConfig(**config)).double()
    theirs.load_state_dict({name: torch.tensor(weight) for name, weight in ours.parameters.items()})
    return theirs


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_logits_and_gradients_are_those_of_the_model(changes):
    ours = make(**changes)
    theirs = model_of(ours)
    logits, _ = ours.forward(TOKENS)
    loss, gradients = ours.loss(TOKENS, TARGETS)

    peer = theirs(torch.tensor(TOKENS))
    peer_loss = F.cross_entropy(peer.flatten(0, 1), torch.tensor(TARGETS).flatten())
    peer_loss.backward()
    assert relative_error(logits, peer.detach().numpy()) < 1e-9
    np.testing.assert_allclose(logits, peer.detach().numpy(), rtol=1e-9, atol=1e-9)
    assert loss == pytest.approx(peer_loss.item(), rel=1e-12)
    parameters = dict(theirs.named_parameters())
    assert gradients.keys() == parameters.keys() == ours.parameters.keys()
    for name, parameter in parameters.items():
        assert relative_error(gradients[name], parameter.grad.numpy()) < 1e-9, name


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_gradients_agree_with_finite_differences(changes):
    model, generator = make(**changes), np.random.default_rng(8)
    _, gradients = model.loss(TOKENS, TARGETS)
    # Every number of one variant; of the others, some of each weight.
    most = 1000 if changes == {"num_kv_heads": 2, "tie_embeddings": True, "qk_norm": True} else 12
    for name, weight in model.parameters.items():
        places = some_places(weight, most, generator)

        def loss():
            return cross_entropy(model.forward(TOKENS)[0], TARGETS)[0]

        numerical = numerical_gradient_at(loss, weight, places)
        analytic = np.array([gradients[name][place] for place in places])
        assert relative_error(analytic, numerical) < 1e-6, name


def test_a_state_dict_of_the_model_is_taken_and_copied():
    theirs = ModelTransformer(ModelConfig(**SHAPE))
    ours = Transformer(TransformerConfig(**SHAPE), theirs.state_dict())
    ours.parameters["model.norm.weight"][:] = 5.0
    assert (theirs.state_dict()["model.norm.weight"] == 1).all()
    assert sum(weight.size for weight in ours.parameters.values()) == count_parameters(theirs.config)


@pytest.mark.parametrize("tied", [True, False])
def test_before_training_the_weights_are_of_the_models_distributions(tied):
    shape = SHAPE | {"vocab_size": 300, "hidden_size": 64, "head_dim": 16, "tie_embeddings": tied}
    ours = Transformer.random(TransformerConfig(**shape), seed=1)
    torch.manual_seed(1)
    theirs = ModelTransformer(ModelConfig(**shape)).state_dict()
    assert ours.parameters.keys() == theirs.keys()
    for name, weight in ours.parameters.items():
        peer = theirs[name].numpy()
        assert weight.std() == pytest.approx(peer.std(), rel=0.15), name
        assert weight.mean() == pytest.approx(peer.mean(), abs=0.02), name
    again = Transformer.random(TransformerConfig(**shape), seed=1).parameters
    assert all((again[name] == weight).all() for name, weight in ours.parameters.items())
    loss, _ = ours.loss(TOKENS, TARGETS)
    assert loss == pytest.approx(np.log(300), abs=0.2 if tied else 1e-12)


def test_the_defaults_are_the_models():
    least = {"vocab_size": 50, "hidden_size": 48, "num_layers": 1, "num_heads": 4, "context_length": 8}
    ours, theirs = TransformerConfig(**least), ModelConfig(**least)
    for field in fields(ours):
        assert getattr(ours, field.name) == getattr(theirs, field.name), field.name


@settings(max_examples=25)
@given(st.integers(1, 6), st.data())
def test_no_token_sees_a_later_one(place, data):
    model = make(num_kv_heads=data.draw(st.sampled_from([4, 2, 1])))
    changed = TOKENS.copy()
    changed[:, place:] = (changed[:, place:] + data.draw(st.integers(1, 10))) % 11
    before, after = model.forward(TOKENS)[0], model.forward(changed)[0]
    np.testing.assert_allclose(after[:, :place], before[:, :place], rtol=0, atol=1e-12)
    assert (np.abs(after[:, place:] - before[:, place:]).max(axis=-1) > 1e-6).all()


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4).filter(lambda steps: sum(steps) <= 12), st.data())
def test_cached_logits_are_uncached_logits(steps, data):
    model = make(num_kv_heads=data.draw(st.sampled_from([4, 2, 1])), qk_norm=data.draw(st.booleans()))
    tokens = np.random.default_rng(sum(steps)).integers(0, 11, (3, sum(steps)))
    cache = KVCache(model.config, batch_size=3, capacity=sum(steps))
    cached = [model.forward(part, cache)[0] for part in np.split(tokens, np.cumsum(steps)[:-1], axis=1)]
    assert cache.length == sum(steps)
    np.testing.assert_allclose(np.concatenate(cached, axis=1), model.forward(tokens)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.3, "top_k": 7, "top_p": 0.9, "repetition_penalty": 1.2}])
def test_writing_is_the_same_with_and_without_the_cache(settings):
    model = make()
    written = model.generate([3, 1], 9, seed=5, **settings)
    assert len(written) == 9
    assert model.generate([3, 1], 9, seed=5, cache=False, **settings) == written
    first = written.index(written[4])
    assert model.generate([3, 1], 9, seed=5, stop=written[4], **settings) == written[:first]
    assert model.generate([3, 1], 0) == []
    drawn = {tuple(model.generate([3, 1], 9, seed=seed, temperature=1.0)) for seed in range(5)}
    assert len(drawn) > 1


def test_greedy_writing_takes_the_likeliest_token_each_time():
    model, tokens = make(), [3, 1]
    for _ in range(6):
        tokens.append(int(model.forward([tokens])[0][0, -1].argmax()))
    assert model.generate([3, 1], 6) == tokens[2:]


def test_the_work_that_the_cache_saves_is_counted():
    model, cached, uncached = make(), Work(), Work()
    model.generate([3, 1, 4], 6, work=cached)
    model.generate([3, 1, 4], 6, cache=False, work=uncached)
    layers, heads = 2, 4
    # With the cache: 3 tokens at once, then 5 steps of 1 (the last token is never read). Without: 3, 4, ... 8 tokens.
    assert cached.keys_and_values == layers * (3 + 5)
    assert uncached.keys_and_values == layers * (3 + 4 + 5 + 6 + 7 + 8)
    assert cached.scores == layers * heads * (3 * 3 + 4 + 5 + 6 + 7 + 8)
    assert uncached.scores == layers * heads * sum(n * n for n in range(3, 9))
    assert cached.multiplications < uncached.multiplications


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False, "num_kv_heads": 1}])
def test_multiplications_counted_are_half_the_flops_of_the_model(changes):
    model, work = make(**changes), Work()
    work.add(model.forward(TOKENS)[1])
    assert 2 * work.multiplications == TOKENS.size * count_flops(ModelConfig(**(SHAPE | changes)), TOKENS.shape[1])


SENTENCES = ["The cat sat on the mat.", "A dog ran through the park!", "We read this book at night."]


def test_it_learns_a_few_sentences_until_it_writes_them():
    encoder = BytePairEncoder.train(" ".join(SENTENCES), 10)
    config = TransformerConfig(
        vocab_size=len(encoder.tokens), hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2, context_length=32
    )
    model, optimizer = Transformer.random(config, seed=0), AdamW(3e-3, weight_decay=0.0)
    rows = [encoder.encode(sentence) for sentence in SENTENCES]

    def written():
        return [encoder.decode(row[:1] + model.generate(row[:1], len(row) - 1)) for row in rows]

    assert written() != SENTENCES
    losses = []
    for _ in range(60):
        each = [model.loss([row[:-1]], [row[1:]]) for row in rows]
        losses.append(sum(loss for loss, _ in each) / len(rows))
        mean = {name: sum(gradients[name] for _, gradients in each) / len(rows) for name in model.parameters}
        optimizer.step(model.parameters, mean)
    assert losses[0] == pytest.approx(np.log(len(encoder.tokens)), abs=0.2)
    assert losses[-1] < 0.5
    assert written() == SENTENCES


def test_large_weights_are_no_trouble():
    model = make()
    for name in ("q_proj", "k_proj"):  # without their norms, scores would be millions; with them and these, +-1000
        model.parameters[f"model.layers.0.self_attn.{name}.weight"] *= 1e6
    for name in ("q_norm", "k_norm"):
        model.parameters[f"model.layers.0.self_attn.{name}.weight"][:] = 500**0.5
    with np.errstate(all="raise", under="ignore"):
        logits, kept = model.forward(TOKENS)
        gradients = model.backward(np.ones_like(logits), kept)
    scores = kept.blocks[0].attention.attend.scores
    assert np.abs(scores[np.isfinite(scores)]).max() > 500
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be 1 or more, not 0"),
        ({"num_kv_heads": 3}, r"num_heads \(4\) must be a multiple of num_kv_heads \(3\)"),
        ({"num_kv_heads": -1}, "num_kv_heads must be 1 or more, or 0 for its default, not -1"),
        ({"head_dim": 3}, "head_dim must be even, because rotary positions turn pairs, not 3"),
        ({"head_dim": 0, "hidden_size": 9}, r"hidden_size \(9\) must be a multiple of num_heads \(4\)"),
        ({"norm_eps": 0.0}, "norm_eps must be positive, not 0.0"),
        ({"rope_theta": float("nan")}, "rope_theta must be positive, not nan"),
    ],
)
def test_shapes_that_do_not_fit_are_told(changes, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**(SHAPE | changes))


def without(name):
    weights = dict(make().parameters)
    del weights[name]
    return weights


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.forward([[3, 11]]), r"token 11 at \(0, 1\) is not in the vocabulary of 11"),
        (lambda m: m.forward([3, 1]), r"tokens must be \(rows, tokens\) and at least one, not of shape \(2,\)"),
        (lambda m: m.forward(np.zeros((1, 13), dtype=int)), "13 tokens are more than the context of 12"),
        (lambda m: m.forward([[1, 2, 3]], KVCache(m.config, capacity=2)), "position 2 do not fit a cache of 2"),
        (lambda m: m.forward([[1], [2]], KVCache(m.config)), r"must be \(1, 2, 1, 4\) for this cache"),
        (lambda m: KVCache(m.config, capacity=13), r"capacity must be 1 to 12 \(the model's context\), not 13"),
        (lambda m: m.loss([[1, 2]], [[1, 11]]), "class 11 is not among the 11"),
        (lambda m: m.generate([], 3), "a prompt of at least 1 token"),
        (lambda m: m.generate([1], 12), "a prompt of 1 and 12 more tokens do not fit the context of 12"),
        (lambda m: m.generate([1], 2, temperature=-1.0), "temperature must be 0 or more, not -1.0"),
        (lambda m: Transformer(m.config, without("model.norm.weight")), r"missing \['model.norm.weight'\]"),
        (lambda m: Transformer(m.config, m.parameters | {"lm_head.weight": [1]}), r"not .* \['lm_head.weight'\]"),
        (lambda m: Transformer(m.config, m.parameters | {"model.norm.weight": [1]}), r"must be \(8,\), not \(1,\)"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call(make())


def test_there_is_no_backward_through_a_cache():
    model = make()
    cache = KVCache(model.config)
    model.forward([[1, 2]], cache)
    logits, kept = model.forward([[3]], cache)
    with pytest.raises(ValueError, match="1 tokens were computed and 3 seen; run forward without one"):
        model.backward(np.ones_like(logits), kept)


def test_a_full_cache_is_refused_and_left_as_it_was():
    model = make()
    cache = KVCache(model.config, capacity=3)
    model.forward([[1, 2]], cache)
    with pytest.raises(ValueError, match="do not fit a cache of 3"):
        model.forward([[3, 4]], cache)
    logits, _ = model.forward([[3]], cache)
    np.testing.assert_allclose(logits[0, -1], model.forward([[1, 2, 3]])[0][0, -1], atol=1e-12)
