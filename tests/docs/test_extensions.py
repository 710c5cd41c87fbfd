"""What the documentation's own Sphinx extensions write."""

import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from quire.settings import Settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "_extensions"))

import mathtext
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
    """What it is made of."""


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
    assert "| `wood` | text | must be given | What it is made of. |" in rows
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


def size(svg, side):
    return float(svg.split(f"{side}:")[1].split("em")[0])


def test_a_formula_is_as_wide_as_it_is_long_and_hangs_below_the_line():
    short, long = mathtext.draw("x"), mathtext.draw("x + x")
    assert 0.3 < size(short, "width") < 1 < size(long, "width") < 4
    assert size(mathtext.draw(r"\frac{1}{x}"), "vertical-align") < size(short, "vertical-align") < 0.01


def test_common_synonyms_are_drawn_and_other_commands_kept():
    assert mathtext.draw(r"a \le b").split(" d=")[1] == mathtext.draw(r"a \leq b").split(" d=")[1]
    assert mathtext.draw(r"\left(a\right)")


def test_the_label_is_the_formula_and_cannot_leave_its_quotes():
    assert 'aria-label="a &lt; b"' in mathtext.draw("a < b")


def test_an_unknown_command_is_an_error():
    with pytest.raises(ValueError, match="nosuchcommand"):
        mathtext.draw(r"\nosuchcommand x")
