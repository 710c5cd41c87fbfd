"""Bars as SVG for a page that asks for nothing outside itself; colours come from the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

BAR_HEIGHT, BAR_GAP, LABEL_WIDTH, BAR_WIDTH, VALUE_WIDTH = 22, 8, 190, 380, 170
COLUMNS_HEIGHT = 140


def bars(title: str, values: Sequence[tuple[str, int, str, str]]) -> str:
    """Return horizontal bars, each (label, value, value as text, class), as a heading and an SVG; "" without bars."""
    if not values:
        return ""
    most = max(value for _, value, _, _ in values) or 1
    height = len(values) * (BAR_HEIGHT + BAR_GAP)
    width = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    rows = []
    for number, (label, value, text, kind) in enumerate(values):
        top = number * (BAR_HEIGHT + BAR_GAP) + BAR_GAP / 2
        middle = top + BAR_HEIGHT / 2
        long = max(BAR_WIDTH * value / most, 2 if value else 0)
        short = label if len(label) <= 26 else f"{label[:25]}…"
        rows.append(
            f'<text x="{LABEL_WIDTH - 10}" y="{middle:.1f}" class="label">{escape(short)}</text>'
            f'<rect x="{LABEL_WIDTH}" y="{top:.1f}" width="{long:.1f}" height="{BAR_HEIGHT}" rx="3" class="{kind}">'
            f"<title>{escape(f'{label}: {text}')}</title></rect>"
            f'<text x="{LABEL_WIDTH + long + 8:.1f}" y="{middle:.1f}" class="value">{escape(text)}</text>'
        )
    return (
        f'<h2>{escape(title)}</h2>\n<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        + "".join(rows)
        + "</svg>"
    )


def columns(title: str, counts: Sequence[int], ends: tuple[str, str], unit: str) -> str:
    """Return a histogram as a heading and an SVG; "" where nothing was counted.

    Args:
        title: the heading.
        counts: of equal ranges, left to right.
        ends: what the left and the right end of the axis are.
        unit: what is counted.
    """
    if not any(counts):
        return ""
    most, width = max(counts), LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    step = width / len(counts)
    rows = []
    for number, count in enumerate(counts):
        height = max((COLUMNS_HEIGHT - 20) * count / most, 2 if count else 0)
        left, top = number * step + 2, COLUMNS_HEIGHT - height
        rows.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{step - 4:.1f}" height="{height:.1f}" rx="2" class="kept">'
            f"<title>{number * 100 // len(counts)} to {(number + 1) * 100 // len(counts)} %: {count:,} {escape(unit)}"
            f"</title></rect>"
        )
        if count:
            middle = left + step / 2 - 2
            rows.append(f'<text x="{middle:.1f}" y="{top - 9:.1f}" class="value middle">{count:,}</text>')
    base = COLUMNS_HEIGHT + 14
    rows.append(f'<line x1="0" x2="{width}" y1="{COLUMNS_HEIGHT}" y2="{COLUMNS_HEIGHT}" class="axis"/>')
    rows.append(f'<text x="0" y="{base}" class="value">{escape(ends[0])}</text>')
    rows.append(f'<text x="{width}" y="{base}" class="value label">{escape(ends[1])}</text>')
    return (
        f'<h2>{escape(title)}</h2>\n<svg viewBox="0 0 {width} {base + 10}" role="img" aria-label="{escape(title)}">'
        + "".join(rows)
        + "</svg>"
    )
