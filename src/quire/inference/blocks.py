"""The rooms of the cache: blocks of 32 positions, who holds them, and which texts begin alike.

A full block is known by the tokens in it and by the block before it, so all texts that begin with the same tokens
form a tree, and a new text finds what of it was read before. A block that no text holds any more stays in the tree
until its room is needed; those not used for longest go first, the ends of texts before their beginnings.
"""

from __future__ import annotations

from collections.abc import Sequence

BLOCK = 32  # positions of a block


class Node:
    """A full block: the tokens in it, after those of its parents."""

    __slots__ = ("block", "children", "holders", "parent", "tokens")

    def __init__(self, parent: Node | None, tokens: tuple[int, ...], block: int) -> None:
        self.parent, self.tokens, self.block = parent, tokens, block
        self.children: dict[tuple[int, ...], Node] = {}
        self.holders = 0


class BlockPool:
    """All blocks of a cache.

    Args:
        count: how many there are.

    Attributes:
        evicted: how many full blocks had to leave the tree so far.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.evicted = 0
        self._free = list(range(count - 1, -1, -1))
        self._root = Node(None, (), -1)
        # Nodes that nobody holds, longest unused first. Whoever holds a node holds its parents, and lets go of the
        # last first: a node always stands before its parent here, so the first one has no children.
        self._idle: dict[Node, None] = {}

    @property
    def available(self) -> int:
        """Return how many blocks could be had now."""
        return len(self._free) + len(self._idle)

    def find(self, tokens: Sequence[int]) -> list[Node]:
        """Return the nodes of the longest known beginning of `tokens`, whole blocks, and hold them."""
        found: list[Node] = []
        node = self._root
        for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
            child = node.children.get(tuple(tokens[start : start + BLOCK]))
            if child is None:
                break
            self._hold(child)
            found.append(child)
            node = child
        return found

    def take(self) -> int | None:
        """Return a block to write to, from the tree where none is free; None where every block is held."""
        if not self._free:
            if not self._idle:
                return None
            self.evicted += 1
            return self.take_idle()
        return self._free.pop()

    def give(self, block: int) -> None:
        """Take back a block that is in no node."""
        self._free.append(block)

    def add(self, parent: Node | None, tokens: tuple[int, ...], block: int) -> Node:
        """Put a block that is full now into the tree and hold it.

        Where the tree has these tokens already, its node is returned and `block` is free again: what both hold is
        the same.
        """
        parent = parent or self._root
        node = parent.children.get(tokens)
        if node is None:
            node = parent.children[tokens] = Node(parent, tokens, block)
        else:
            self.give(block)
        self._hold(node)
        return node

    def forget(self) -> None:
        """Give all blocks back that nobody holds, so that no text finds them."""
        while self._idle:
            block = self.take_idle()
            self._free.append(block)

    def take_idle(self) -> int:
        """Take the block out of the tree that was not used for longest."""
        node = next(iter(self._idle))
        del self._idle[node]
        if node.parent is not None:
            del node.parent.children[node.tokens]
        return node.block

    def let_go(self, nodes: Sequence[Node]) -> None:
        """No longer hold nodes, given from the beginning of the text to its end."""
        for node in reversed(nodes):
            node.holders -= 1
            if node.holders == 0:
                self._idle[node] = None

    def _hold(self, node: Node) -> None:
        node.holders += 1
        self._idle.pop(node, None)
