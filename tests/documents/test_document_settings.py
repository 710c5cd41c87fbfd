from __future__ import annotations

import pickle

import pytest

from quire.documents.document import DroppedFile
from quire.documents.settings import ReadSettings, WalkSettings
from quire.errors import UsageError
from quire.settings import build


def test_fingerprints_change_with_what_changes_the_result_and_only_with_that() -> None:
    assert ReadSettings().fingerprint() == ReadSettings(ocr=True).fingerprint()
    assert ReadSettings().fingerprint() != ReadSettings(ocr=False).fingerprint()
    assert ReadSettings().fingerprint() == ReadSettings(ocr_threads=7).fingerprint()
    assert WalkSettings().fingerprint() != WalkSettings(exclude=("*.log",)).fingerprint()
    assert len({ReadSettings().fingerprint(), WalkSettings().fingerprint()}) == 2


def test_a_column_may_be_told_by_its_number() -> None:
    assert build(ReadSettings, {"text_column": 2}).text_column == "2"
    with pytest.raises(UsageError):
        build(ReadSettings, {"text_column": True})


def test_a_dropped_file_crosses_processes() -> None:
    dropped = pickle.loads(pickle.dumps(DroppedFile("binary", "a NUL byte at offset 3")))
    assert (dropped.rule, dropped.detail) == ("binary", "a NUL byte at offset 3")
