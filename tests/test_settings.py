import pytest

from quire.errors import UsageError
from quire.settings import Settings, build


class Book(Settings):
    """A book."""

    title: str
    """What it is called."""


class Shelf(Settings):
    """A shelf."""

    best: Book | None = None
    """The best one."""
    books: tuple[Book, ...] = ()
    """All of them."""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"book": []}, "unknown key 'book', known there: best, books"),
        ({"best": {"title": "x", "page": 1}}, "unknown key 'best.page', known there: title"),
        ({"books": [{"title": "x"}, {"title": "y", "page": 1}]}, "unknown key 'books.1.page', known there: title"),
        ({"books": [{"title": 3}]}, "books.0.title = 3: input should be a valid string"),
        ({"books": 3}, "books = 3: input should be a valid tuple"),
    ],
)
def test_what_is_wrong_is_told_by_its_key_at_any_depth(values, message):
    with pytest.raises(UsageError) as error:
        build(Shelf, values, where="shelf.toml")
    assert error.value.what == message
    assert error.value.where == "shelf.toml"
