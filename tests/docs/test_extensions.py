"""What the documentation's own Sphinx extensions write."""

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from quire.settings import Settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "_extensions"))

import settings_tables


class Shelf(Settings):
    """One shelf."""

    books: int = Field(3, ge=1, lt=1000)
    """Books on it."""
    pages: int = 120_000
    """Pages of all of them."""
    order: Literal["author", "size"] = "author"
    """How they stand."""
    label: str | None = Field(None, min_length=1)
    """What is written on it, with a | in it."""
    heights: tuple[float, ...] = (1.5, 2.0)
    """Heights."""
    wood: str
    """What it is made of, as [oak](name)."""


class Room(Settings):
    """One room."""

    shelf: Shelf
    """Its only shelf."""


def test_a_table_holds_key_bounds_default_and_sentence():
    rows = settings_tables.table(Shelf, [Shelf]).splitlines()
    assert "| `books` | whole number, ≥\xa01, <\xa01,000 | `3` | Books on it. |" in rows
    assert "| `pages` | whole number | `120_000` | Pages of all of them. |" in rows
    assert '| `order` | `"author"` or `"size"` | `"author"` | How they stand. |' in rows
    assert r"| `label` | text or none, not empty | none | What is written on it, with a \| in it. |" in rows
    assert "| `heights` | list of number | `[1.5, 2.0]` | Heights. |" in rows
    assert "| `wood` | text | must be given | What it is made of, as \\[oak](name). |" in rows
    assert rows[:3] == ["(shelf)=", "## Shelf", ""]


def test_a_group_says_where_its_keys_stand():
    assert "Keys begin with `shelf.` in [Room](#room)." in settings_tables.table(Shelf, [Room, Shelf])
    assert "| `shelf` | [Shelf](#shelf) | must be given | Its only shelf. |" in settings_tables.table(
        Room, [Room, Shelf]
    )


def test_every_settings_class_of_quire_is_found_in_the_order_of_the_rooms():
    names = [settings.__name__ for settings in settings_tables.settings_classes()]
    assert names.index("ReadSettings") < names.index("TokenSettings") < names.index("SamplingSettings")
    assert "Settings" not in names
    assert len(set(names)) == len(names)
