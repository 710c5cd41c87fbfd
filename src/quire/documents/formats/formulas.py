"""Formulas of Office (OMML) as one line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quire.documents.formats.ooxml import attribute_text

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


def formula_text(element: Element) -> str:
    """Return a formula in linear notation: a/b, x^2, x_i, sqrt(x), sum_(i=1)^n."""
    pieces: list[str] = []
    for child in element:
        tag = child.tag
        if tag == "t":
            pieces.append(child.text or "")
        elif tag == "f":
            pieces.append(f"{_group(child, 'num')}/{_group(child, 'den')}")
        elif tag == "sSup":
            pieces.append(f"{_group(child, 'e')}^{_group(child, 'sup')}")
        elif tag == "sSub":
            pieces.append(f"{_group(child, 'e')}_{_group(child, 'sub')}")
        elif tag == "sSubSup":
            pieces.append(f"{_group(child, 'e')}_{_group(child, 'sub')}^{_group(child, 'sup')}")
        elif tag == "rad":
            degree = _part(child, "deg")
            pieces.append(f"root({degree}, {_part(child, 'e')})" if degree else f"sqrt({_part(child, 'e')})")
        elif tag == "nary":
            pieces.append(_nary(child))
        elif tag == "d":
            left = attribute_text(child.find("dPr/begChr"), "val")
            right = attribute_text(child.find("dPr/endChr"), "val")
            inner = ", ".join(formula_text(part) for part in child.findall("e"))
            pieces.append(f"{'(' if left is None else left}{inner}{')' if right is None else right}")
        elif tag == "m":
            rows = [", ".join(formula_text(cell) for cell in row.findall("e")) for row in child.findall("mr")]
            pieces.append(f"[{'; '.join(rows)}]")
        elif isinstance(tag, str) and not tag.endswith("Pr"):
            pieces.append(formula_text(child))
    return "".join(pieces)


def _nary(element: Element) -> str:
    sign = attribute_text(element.find("naryPr/chr"), "val") or "∫"
    sub, sup = _part(element, "sub"), _part(element, "sup")
    return f"{sign}{f'_({sub})' if sub else ''}{f'^({sup})' if sup else ''} {_part(element, 'e')}"


def _part(element: Element, tag: str) -> str:
    found = element.find(tag)
    return "" if found is None else formula_text(found)


def _group(element: Element, tag: str) -> str:
    """Return a part, in brackets where it is more than one letter or number."""
    text = _part(element, tag)
    return text if len(text) <= 1 or text.isalnum() else f"({text})"
