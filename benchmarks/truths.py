"""Reference texts of files, and how near the text that a reader gives comes to them.

The scores, each over all files by the length of their truths, after the same folding of white space, quotes, markup and
line-end hyphens:

    word_order  1 - insertions and deletions that make one sequence of words the other / words of both
    word_f1     F1 of the two bags of words
    cer         edit distance / characters of the truth
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rapidfuzz.distance import Indel, Levenshtein

QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "—": "-", "–": "-", "\u00ad": "", "\ufffe": "-"})


def truths_in(folder: Path, *patterns: str) -> dict[Path, str]:
    """Return the files of `folder` with the reference texts that lie beside them.

    NAME.truth.txt or NAME.truth.md is the text of NAME with any extension, and NAME.EXT.truth.md that of NAME.EXT.

    Args:
        folder: where files and truths lie.
        patterns: names to take, such as "*.pdf"; none = all.

    Raises:
        SystemExit: there are none, which ends a script with that message.
    """
    truths: dict[Path, str] = {}
    for truth in sorted(folder.glob("*.truth.*")):
        name = truth.name.rsplit(".truth.", 1)[0]
        for file in [truth.with_name(name), *sorted(folder.glob(f"{name}.*"))]:
            wanted = not patterns or any(file.match(pattern) for pattern in patterns)
            if wanted and file.is_file() and ".truth." not in file.name:
                truths[file] = truth.read_text("utf-8")
                break
    if not truths:
        raise SystemExit(f"no {' or '.join(patterns) or 'file'} with its NAME.truth.txt or NAME.truth.md in {folder}")
    return truths


def scores(truths: Mapping[Path, str], texts: Mapping[Path, str]) -> dict[str, float]:
    """Return the scores of `texts` over all files of `truths`, each weighed by the length of its truth."""
    rows = [(folded(truth), folded(texts[path])) for path, truth in truths.items()]
    total = sum(len(truth) for truth, _ in rows)
    sums = {"word_order": 0.0, "word_f1": 0.0, "cer": 0.0}
    for truth, text in rows:
        wanted, got = (re.findall(r"\w+", side.lower()) for side in (truth, text))
        common = sum((Counter(wanted) & Counter(got)).values())
        sums["word_order"] += len(truth) * Indel.normalized_similarity(wanted, got)
        sums["word_f1"] += len(truth) * 2 * common / max(1, len(wanted) + len(got))
        sums["cer"] += len(truth) * Levenshtein.distance(truth, text) / max(1, len(truth))
    return {name: round(value / max(1, total), 4) for name, value in sums.items()}


def folded(text: str) -> str:
    """Return `text` without what readers may write one way or another."""
    text = unicodedata.normalize("NFKC", text).translate(QUOTES)
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.DOTALL)
    text = re.sub(r"(\w)-\s*\n\s*(\w)", r"\1\2", text)
    text = re.sub(r"[#*|_`>\\]+|-{2,}", " ", text)
    return re.sub(r"\s+", " ", text).strip()
