"""Which files are read, and how."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr

from quire.settings import Settings

READERS_VERSION = 6
"""Raised whenever a reader would give another text for the same bytes; it makes every fingerprint new."""

WITHOUT_EFFECT = frozenset(("ocr_threads",))
"""Settings of reading that change no text."""


class WalkSettings(Settings):
    """Which files under the given folders are documents."""

    gitignore: bool = True
    """Leave out what the .gitignore files at and under each given folder name, in a git repository or not."""
    hidden: bool = False
    """Also take files and folders whose names begin with a dot."""
    exclude: tuple[str, ...] = ()
    """More patterns to leave out, written as in a .gitignore file at each given folder."""

    def fingerprint(self) -> str:
        """Return a hash, in hexadecimal, that is the same exactly where the same files would be taken."""
        return _fingerprint(self, without=set())


def _as_text(value: Any) -> Any:
    """A column told by its number may be written as one."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ReadSettings(Settings):
    """How a file becomes text, and what is too large to try."""

    max_file_bytes: int = Field(default=256 * 2**20, ge=1)
    """Files and members of more bytes are dropped; archives, mailboxes and databases are read piece by piece."""
    password: SecretStr | None = None
    """Opens PDFs and zip archives that are encrypted; never written anywhere."""
    max_depth: int = Field(default=4, ge=1, le=32)
    """Archives and mails inside one another are opened down to this depth."""
    max_members: int = Field(default=100_000, ge=1)
    """Members of one file that are read; the others are dropped."""
    max_unpacked_bytes: int = Field(default=16 * 2**30, ge=1)
    """Bytes to which the members of one file may unpack together; what is over is dropped."""
    max_ratio: int = Field(default=200, ge=1)
    """A member of over 10 MB that unpacks to more than this many times its packed size is dropped as a bomb."""
    max_pages: int = Field(default=5000, ge=1)
    """PDFs and pictures of more pages are dropped."""
    max_pixels: int = Field(default=150_000_000, ge=1, le=178_000_000)  # past that Pillow opens nothing
    """Pictures of more pixels are dropped, 178,000,000 at most; a scan of A0 at 300 dots per inch has 139,000,000."""
    main_content: bool = False
    """Of web pages keep only what they are about, without menus, side bars, forms and feet."""
    links: bool = True
    """Write where links of web pages, books and office files lead, as Markdown: [words](address)."""
    comments: bool = True
    """Keep the comments that people wrote beside the text of office files and PDFs."""
    hidden: bool = False
    """Also read hidden sheets, slides and text of office files, and hidden files in archives."""
    embedded_pictures: bool = False
    """Also recognise text in the pictures inside office files and electronic books."""
    text_column: Annotated[str | None, BeforeValidator(_as_text)] = Field(default=None, min_length=1)
    """Column of csv, tsv and database tables that holds the text; unset or missing: the one of prose, if any."""
    text_field: str | None = Field(default=None, min_length=1)
    """Field of JSON records that holds the text, as in post.body; unset or missing: guessed by name and length."""
    text_table: str | None = Field(default=None, min_length=1)
    """Table of SQLite files that is read; unset: every table that holds text."""
    notebook_outputs: bool = False
    """Keep what the cells of notebooks printed, too."""
    pdf_layout: bool = True
    """Put lines of PDF pages in reading order, cells into rows and lines into paragraphs; else as the file has them."""
    running_heads: bool = True
    """Leave out the running heads, feet and page numbers of PDFs."""
    ocr: bool = True
    """Recognise text in pictures and in PDF pages that have no usable text layer."""
    ocr_dpi: int = Field(default=150, ge=72, le=400)
    """Dots per inch of a page as it is given to recognition."""
    ocr_min_confidence: float = Field(default=0.5, ge=0, le=1)
    """Recognised lines that are less sure than this are left out."""
    ocr_threads: int = Field(default=1, ge=1)
    """Threads of one recognition; files are read side by side, so one each is fastest for a folder."""

    def exceeded(self, limit: str, count: int) -> bool:
        """Return whether `count` is more than the limit of that name.

        A reader that asks so is not run again for another limit that would give the same answer.
        """
        most: int = getattr(self, limit)
        return count > most

    def fingerprint(self) -> str:
        """Return a hash, in hexadecimal, that is the same exactly where every file would give the same text."""
        # The password shows as stars in what is dumped; what depends on it is the hash alone.
        secret = "" if self.password is None else self.password.get_secret_value()
        return _fingerprint(self, without={*WITHOUT_EFFECT, "password"}, secret=secret)


def _fingerprint(settings: Settings, without: set[str], secret: str = "") -> str:
    values = {"readers": READERS_VERSION, **settings.model_dump(mode="json", exclude=without), "secret": secret}
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
