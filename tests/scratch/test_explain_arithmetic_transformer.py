"""Every statement of a transformer worked out passes the arithmetic check of the documentation."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from quire.scratch import explain
from scratch.statements import holds

SHAPES = [{}, {"num_kv_heads": 1, "num_layers": 2}, {"width": 2, "num_heads": 1, "hidden": 3}]


@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.sampled_from(SHAPES))
@settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_transformer(seed, cached, qk_norm, shape):
    words = ["what", "stands", "here", "means", "nothing"][: 2 + seed % 3]
    holds(explain.transformer_of_words(words, seed=seed, cached=cached, qk_norm=qk_norm, **shape), 21)
