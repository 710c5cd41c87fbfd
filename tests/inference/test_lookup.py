"""Guesses and the blocks of the cache, by hand."""

from hypothesis import given
from hypothesis import strategies as st

from quire.inference.blocks import BLOCK, BlockPool, Node
from quire.inference.lookup import RETRY, Lookup, Trust, Worth


def test_what_followed_the_last_three_tokens_is_guessed() -> None:
    tokens = [1, 2, 3, 4, 5, 9, 1, 2, 3]
    assert Lookup().guess(tokens, 4) == [4, 5, 9, 1]
    assert Lookup().guess(tokens, 8) == [4, 5, 9, 1, 2, 3, 4, 5]  # beyond the end comes what was guessed for it
    assert Lookup().guess([*tokens, 7], 4) == []
    assert Lookup().guess([1, 2], 4) == []


def test_the_last_time_counts() -> None:
    assert Lookup().guess([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], 1) == [5]


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 5))
def test_a_text_that_grows_is_looked_up_as_one_that_is_whole(tokens: list[int], most: int) -> None:
    growing = Lookup()
    for length in range(len(tokens) + 1):
        assert growing.guess(tokens[:length], most) == Lookup().guess(tokens[:length], most)


def test_guesses_pay_where_a_step_gives_more_tokens_for_its_time() -> None:
    worth = Worth()
    assert worth.pays(1, 4, 0.0)  # nothing is known yet
    for tokens, seconds in ((1, 0.002), (5, 0.003), (16, 0.006), (20, 0.007)):
        worth.took(tokens, seconds)
    assert worth.pays(1, 4, 0.6)
    assert not worth.pays(1, 4, 0.1)
    assert not worth.pays(16, 4, 0.6)
    assert worth.pays(16, 4, 0.7)


def guessed_for(trust: Trust, tokens: int, share: float, needed: float = 0.5) -> int:
    """Return for how many of some tokens there were guesses, of which this share is right, and so much has to be."""
    count = 0
    for _ in range(tokens):
        if not trust.rests() and trust.allows(trust.right > needed):
            trust.learn(share, share > needed)
            count += 1
    return count


def test_a_text_whose_guesses_do_not_pay_is_seldom_guessed_for() -> None:
    trust = Trust(1.0)
    assert guessed_for(trust, 2000, 0.1) < 20
    assert guessed_for(Trust(0.1), 2000, 0.1) < 10  # others' did not pay, either


def test_a_text_whose_guesses_pay_by_now_is_guessed_for_again() -> None:
    trust = Trust(0.0)
    assert guessed_for(trust, RETRY, 0.9) == 0
    assert guessed_for(trust, 1000, 0.9) >= 999
    assert guessed_for(trust, 200, 0.0) < 20
    guessed_for(trust, 5000, 0.0)
    assert guessed_for(trust, 3000, 0.9) > 1900


def fill(pool: BlockPool, tokens: list[int]) -> list[Node]:
    nodes = pool.find(tokens)
    for start in range(len(nodes) * BLOCK, len(tokens) - BLOCK + 1, BLOCK):
        block = pool.take()
        assert block is not None
        nodes.append(pool.add(nodes[-1] if nodes else None, tuple(tokens[start : start + BLOCK]), block))
    return nodes


def test_whole_blocks_of_a_common_beginning_are_found() -> None:
    pool = BlockPool(10)
    first = [*range(100)]
    fill(pool, first)
    for common, blocks in ((0, 0), (31, 0), (32, 1), (70, 2), (100, 3)):
        assert len(pool.find([*first[:common], *range(500, 600)])) == blocks
    assert pool.find([9, *first]) == []


def test_ends_of_texts_give_way_before_their_beginnings_and_what_is_held_never_does() -> None:
    pool = BlockPool(5)
    old, new = fill(pool, [*range(64)]), fill(pool, [*range(32), *range(100, 132)])
    held = fill(pool, [7] * 32)
    for nodes in (old, new):
        pool.let_go(nodes)
    assert pool.available == 4
    assert [pool.take() for _ in range(5)] == [4, old[1].block, new[1].block, old[0].block, None]
    assert pool.evicted == 3
    assert pool.find([7] * 32) == held


def test_a_block_that_another_text_filled_first_is_free_again() -> None:
    pool = BlockPool(2)
    one, two = pool.take(), pool.take()
    assert (one, two) == (0, 1)
    node = pool.add(None, tuple(range(32)), 0)
    assert pool.add(None, tuple(range(32)), 1) is node
    assert (node.block, node.holders, pool.available) == (0, 2, 1)
