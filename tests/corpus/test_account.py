"""An account that does not close is never given out; the report shows what it says and asks nothing of a network."""

import dataclasses
import json
import re
from xml.etree import ElementTree

import pytest

from quire.corpus.account import Account, Characters, FailedFile, Loss, Part, Rule, Secrets, Share, Tally, megabytes
from quire.corpus.report import html_report
from quire.errors import QuireError

ACCOUNT = Account(
    found=Tally(10, 1000),
    kept=Tally(5, 500),
    dropped=Tally(3, 300),
    failed=Tally(2, 200),
    members={"kept": Tally(4, 40), "dropped": Tally(1, 10), "failed": Tally(0, 0)},
    member_rules=(Rule("dropped", "empty", 1, 10, "e.zip!f.txt", "0 bytes"),),
    rules=(
        Rule("dropped", "binary", 2, 200, "a.bin", "a NUL byte"),
        Rule("dropped", "duplicate", 1, 100, "b.txt", "the same bytes as <c>.txt"),
        Rule("failed", "damaged", 2, 200, "d.pdf", "it is broken"),
    ),
    failures=(FailedFile("<script>alert(1)</script>.pdf", 150, "damaged", "it is broken & lost"),),
    documents=6,
    duplicates=1,
    text_bytes=450,
    characters=Characters(
        read=560,
        added=6,
        kept=430,
        left_out={"duplicate": Part(1, 70), "too-short": Part(1, 10)},
        cut={"redacted": Part(2, 56)},
    ),
    pages=9,
    formats={"application/pdf": Share(4, 9, 400), "text/plain": Share(2, 0, 50)},
    languages={},
    licenses={"MIT": Share(1, 0, 30)},
    confidences=(0,) * 18 + (1, 3),
    secrets={"email": Secrets(2, 1)},
    redacted=True,
    losses=(Loss("<img>.pdf", 150, "failed", "damaged", "it is broken"),),
    files_read=10,
    seconds=1.5,
    fingerprint="0123456789abcdef" * 4,
)


def test_a_closing_account_passes_and_survives_json():
    ACCOUNT.verify()
    assert Account.from_dict(json.loads(json.dumps(ACCOUNT.as_dict()))) == ACCOUNT


@pytest.mark.parametrize(
    "change",
    [
        {"found": Tally(11, 1000)},
        {"found": Tally(10, 1001)},
        {"kept": Tally(4, 500)},
        {"failed": Tally(2, 201), "found": Tally(10, 1001)},
        {"rules": ACCOUNT.rules[:2]},
        {"documents": 7},
        {"member_rules": ()},
        {"members": {**ACCOUNT.members, "failed": Tally(1, 0)}},
        {"text_bytes": 451},
        {"duplicates": 2},
        {"characters": dataclasses.replace(ACCOUNT.characters, read=561)},
        {"characters": dataclasses.replace(ACCOUNT.characters, added=0)},
        {"characters": dataclasses.replace(ACCOUNT.characters, kept=431)},
        {"characters": dataclasses.replace(ACCOUNT.characters, cut={})},
    ],
)
def test_an_account_that_does_not_close_is_refused(change):
    with pytest.raises(QuireError, match="does not close"):
        dataclasses.replace(ACCOUNT, **change).verify()


def test_the_report_stands_alone_and_escapes_names():
    page = html_report(ACCOUNT)
    assert not re.search(r"https?:|src=|@import|url\(", page)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.pdf" in page
    assert "it is broken &amp; lost" in page
    assert "prefers-color-scheme: dark" in page


def test_the_bars_are_as_long_as_their_values():
    page = html_report(ACCOUNT)
    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(charts) == 2  # no language, no chart of languages
    lengths = [[float(bar.get("width")) for bar in chart.iter("rect")] for chart in charts]
    assert lengths[0] == pytest.approx([380, 380 * 3 / 5, 380 * 2 / 5])
    assert lengths[1] == pytest.approx([380, 380 * 50 / 400])


def test_many_formats_are_gathered_into_others():
    formats = {f"text/x-{number}": Share(1, 0, 100 - number) for number in range(20)}
    page = html_report(dataclasses.replace(ACCOUNT, formats=formats))
    assert "8 others" in page


def test_bytes_are_told_in_units_people_read():
    assert [megabytes(count) for count in (0, 999, 1000, 12_345_678, 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 MB",
        "1.0 TB",
    ]
