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


def charts_of(page):
    found = re.findall(r"<h2>([^<]*)</h2>\n(<svg.*?</svg>)", page, re.DOTALL)
    return {title: ElementTree.fromstring(svg) for title, svg in found}


def lengths(chart, of="width"):
    return [float(bar.get(of)) for bar in chart.iter("rect")]


def test_the_bars_are_as_long_as_their_values():
    charts = charts_of(html_report(ACCOUNT))
    assert "Text by language" not in charts  # no language, no chart of languages
    assert lengths(charts["Files by outcome"]) == pytest.approx([380, 380 * 3 / 5, 380 * 2 / 5])
    assert lengths(charts["Members of archives, mails and books"]) == pytest.approx([380, 380 / 4, 0])
    assert lengths(charts["Text by format"]) == pytest.approx([380, 380 * 50 / 400])
    assert lengths(charts["Characters"]) == pytest.approx([380 * part / 430 for part in (430, 70, 10, 56)], abs=0.06)
    assert lengths(charts["Confidence of recognised text"], "height") == pytest.approx([0] * 18 + [40, 120])
    assert lengths(charts["Code by licence"]) == [380]


def test_the_bars_of_languages_add_up_to_all_text_with_one_for_what_is_not_known():
    known = {"en": Share(3, 9, 300), "Python": Share(1, 0, 50)}
    page = html_report(dataclasses.replace(ACCOUNT, languages=known))
    assert lengths(charts_of(page)["Text by language"]) == pytest.approx([380, 380 / 6, 380 / 3], abs=0.06)
    assert "<title>unknown: 100 B · 2 documents</title>" in page
    whole = {"en": Share(ACCOUNT.documents, 9, ACCOUNT.text_bytes)}
    assert "unknown" not in html_report(dataclasses.replace(ACCOUNT, languages=whole))


def test_the_report_tells_secrets_losses_and_members():
    page = html_report(ACCOUNT)
    assert "<td>email</td><td>2</td><td>1</td>" in page
    assert "Secrets and personal data, masked" in page
    assert "&lt;img&gt;.pdf" in page
    assert "<b>5</b> members = 4 kept + 1 dropped + 0 failed" in page
    assert "560 characters were read, and 6 were added by masks" in page
    bare = dataclasses.replace(ACCOUNT, members={name: Tally() for name in ACCOUNT.members}, secrets={}, redacted=False)
    bare = dataclasses.replace(bare, member_rules=())
    assert "members" not in html_report(bare)
    assert "Secrets" not in html_report(bare)


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
