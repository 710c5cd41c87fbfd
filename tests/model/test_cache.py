from collections.abc import Callable

import pytest
import torch

from quire.model.cache import KVCache
from quire.model.transformer import Transformer

Make = Callable[..., Transformer]
TOKENS = torch.randint(0, 61, (3, 24), generator=torch.Generator().manual_seed(6))
CLOSE = {"rtol": 0.0, "atol": 1e-5}


@pytest.mark.parametrize("chunks", [[24], [1] * 24, [5, 1, 1, 16, 1], [23, 1], [2, 22]], ids=str)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_cached_logits_are_the_uncached_at_every_position(
    make_model: Make, chunks: list[int], kv_heads: int, tied: bool
) -> None:
    model = make_model(num_kv_heads=kv_heads, tie_embeddings=tied)
    cache = KVCache(model.config, 3)
    pieces = [model(part, cache=cache) for part in TOKENS.split(chunks, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(TOKENS), **CLOSE)
    assert cache.lengths == [24] * 3


@pytest.mark.parametrize("kv_heads", [2, 4])
@torch.no_grad()
def test_rows_of_different_lengths_each_equal_their_single_run(make_model: Make, kv_heads: int) -> None:
    model = make_model(num_kv_heads=kv_heads)
    lengths = [11, 3, 7]
    cache = KVCache(model.config, 3)
    model(TOKENS[:, :11], cache=cache)  # beyond its length a row holds padding, here wrong tokens
    cache.truncate(lengths)
    for step in (1, 4, 1):
        tokens = torch.stack([TOKENS[row, at : at + step] for row, at in enumerate(lengths)])
        logits = model(tokens, cache=cache)
        for row, at in enumerate(lengths):
            alone = model(TOKENS[row : row + 1, : at + step])[0, -step:]
            torch.testing.assert_close(logits[row], alone, **CLOSE)
        lengths = [at + step for at in lengths]
        assert cache.lengths == lengths


@torch.no_grad()
def test_a_prompt_is_read_with_given_positions(make_model: Make) -> None:
    model = make_model()
    cache = KVCache(model.config, 3)
    logits = model(TOKENS[:, :6], cache=cache, positions=torch.arange(6).expand(3, 6))
    torch.testing.assert_close(logits, model(TOKENS[:, :6]), **CLOSE)
    again = model(TOKENS[:, 4:6], cache=cache, positions=torch.tensor([[4, 5]] * 3))  # written over
    torch.testing.assert_close(again, logits[:, 4:6], **CLOSE)
    assert cache.lengths == [6, 6, 6]


@torch.no_grad()
def test_a_row_shares_its_room_and_a_selection_is_a_copy(make_model: Make) -> None:
    model = make_model()
    cache = KVCache(model.config, 3)
    model(TOKENS[:, :8], cache=cache)
    chosen = cache.select([2, 0, 2])
    alone = cache.row(1)
    alone.truncate([0])
    model(TOKENS[:1, :5], cache=alone)  # row 1 now reads what row 0 does
    assert alone.lengths == [5]
    assert cache.lengths == [8, 8, 8]
    assert torch.equal(cache.keys[:, 1, :, :5], alone.keys[:, 0, :, :5])
    torch.testing.assert_close(cache.keys[:, 1, :, :5], cache.keys[:, 0, :, :5], **CLOSE)
    logits = model(TOKENS[[2, 0, 2], 8:9], cache=chosen)
    torch.testing.assert_close(logits[0], model(TOKENS[2:3, :9])[0, -1:], **CLOSE)
    torch.testing.assert_close(logits[1], model(TOKENS[:1, :9])[0, -1:], **CLOSE)
    torch.testing.assert_close(logits[0], logits[2], **CLOSE)
    assert cache.lengths == [8, 8, 8]


@torch.no_grad()
def test_a_smaller_cache_works_up_to_its_capacity(make_model: Make) -> None:
    model = make_model()
    cache = KVCache(model.config, 1, capacity=9)
    assert cache.capacity == 9
    model(TOKENS[:1, :8], cache=cache)
    torch.testing.assert_close(model(TOKENS[:1, 8:9], cache=cache), model(TOKENS[:1, :9])[:, -1:], **CLOSE)
    with pytest.raises(ValueError, match="cache of 9"):
        model(TOKENS[:1, 9:10], cache=cache)


@torch.no_grad()
def test_what_does_not_fit_is_refused(make_model: Make) -> None:
    model = make_model()
    cache = KVCache(model.config, 2, capacity=10)
    with pytest.raises(ValueError, match="cache of 10"):
        model(TOKENS[:2, :11], cache=cache)
    assert cache.lengths == [0, 0]
    model(TOKENS[:2, :6], cache=cache)
    cache.truncate([6, 2])
    with pytest.raises(ValueError, match="cache of 10"):
        model(TOKENS[:2, :5], cache=cache)
    with pytest.raises(ValueError, match="cannot be cut to 7"):
        cache.truncate([7, 2])
    with pytest.raises(ValueError, match="capacity"):
        KVCache(model.config, 2, capacity=25)
