"""Office Open XML: what Word, PowerPoint and Excel files share: relationships, charts and drawn text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from quire.documents.document import DroppedFile
from quire.documents.formats.blocks import Blocks, clean
from quire.documents.formats.zipped import Package, attribute, number, resolved
from quire.errors import ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

MAX_POINTS = 10_000
"""Points of one series of a chart that are written; more is data, and stands in a sheet."""

CHARTS = {
    "areaChart": "Area chart",
    "area3DChart": "Area chart",
    "barChart": "Bar chart",
    "bar3DChart": "Bar chart",
    "bubbleChart": "Bubble chart",
    "doughnutChart": "Doughnut chart",
    "lineChart": "Line chart",
    "line3DChart": "Line chart",
    "ofPieChart": "Pie chart",
    "pieChart": "Pie chart",
    "pie3DChart": "Pie chart",
    "radarChart": "Radar chart",
    "scatterChart": "Scatter chart",
    "stockChart": "Stock chart",
    "surfaceChart": "Surface chart",
    "surface3DChart": "Surface chart",
}
"""Elements of DrawingML that hold the series of a chart, and what people call them."""


class Relationship(NamedTuple):
    """Where a part of a package points to.

    Args:
        kind: the last word of its type, such as "slide" or "hyperlink".
        target: the path of a part, or an address outside.
        external: whether it is an address outside.
    """

    kind: str
    target: str
    external: bool


def relationships(package: Package, part: str) -> dict[str, Relationship]:
    """Return what the part points to by identifier; {} where it points nowhere. `part` is "" for the package itself."""
    folder, _, name = part.rpartition("/")
    root = package.optional_xml(f"{folder}/_rels/{name}.rels" if folder else f"_rels/{name}.rels")
    found: dict[str, Relationship] = {}
    for entry in () if root is None else root.iter("Relationship"):
        identifier, target = entry.get("Id"), entry.get("Target")
        if identifier is None or target is None:
            continue
        external = entry.get("TargetMode") == "External"
        path = target if external else resolved(part, target)
        found[identifier] = Relationship((entry.get("Type") or "").rpartition("/")[2], path, external)
    return found


def targets(related: dict[str, Relationship], kind: str) -> list[str]:
    """Return the parts inside the package that are related by `kind`."""
    return [relation.target for relation in related.values() if relation.kind == kind and not relation.external]


def main_part(package: Package, usual: str) -> tuple[str, Element]:
    """Return the path and the root of the part that the file is about; `usual` is where most programs put it.

    Raises:
        ReadError: there is none, or it is broken.
    """
    named = targets(relationships(package, ""), "officeDocument")
    name = next((name for name in named if package.has(name)), usual)
    return name, package.xml(name)


def relation_id(element: Element) -> str | None:
    """Return the identifier of a relationship that an element names (`r:id`, `r:embed`), or None."""
    for key, value in element.items():
        if key.startswith("{") and key.rpartition("}")[2] in ("id", "embed") and "relationships" in key:
            return str(value)
    return None


def drawn_text(body: Element) -> str:
    """Return the paragraphs of a DrawingML text body, a line each."""
    return "\n".join(paragraph_text(paragraph) for paragraph in body.iter("p")).strip("\n")


def paragraph_text(paragraph: Element) -> str:
    """Return the text of one DrawingML paragraph; breaks inside of it are line ends."""
    pieces: list[str] = []
    for element in paragraph.iter("t", "br", "tab"):
        if element.tag == "t":
            pieces.append(element.text or "")
        else:
            pieces.append("\n" if element.tag == "br" else "\t")
    return "".join(pieces)


def add_chart(blocks: Blocks, package: Package, part: str) -> None:
    """Add a chart: its title, its kind, and the table of what it draws. A broken chart adds nothing."""
    try:
        root = package.xml(part)
    except (ReadError, DroppedFile):
        return
    title = root.find(".//chart/title")
    if title is not None:
        blocks.paragraph(drawn_text(title) or _cached(title))
    plot = root.find(".//plotArea")
    for group in () if plot is None else plot:
        if group.tag in CHARTS:
            blocks.paragraph(CHARTS[group.tag])
            _add_series(blocks, group)
    for axis in () if plot is None else plot:
        if axis.tag in ("catAx", "valAx", "dateAx", "serAx"):
            named = axis.find("title")
            if named is not None:
                blocks.paragraph(drawn_text(named))


def _add_series(blocks: Blocks, group: Element) -> None:
    names: list[str] = []
    categories: dict[int, str] = {}
    columns: list[dict[int, str]] = []
    for series in group.findall("ser"):
        label = series.find("tx")
        names.append("" if label is None else _cached(label))
        for tag in ("cat", "xVal"):
            found = series.find(tag)
            if found is not None:
                categories = {**_points(found), **categories}
        values = next((found for tag in ("val", "yVal") if (found := series.find(tag)) is not None), None)
        columns.append({} if values is None else _points(values))
    indices = sorted({index for column in [categories, *columns] for index in column})
    rows = [[categories.get(index, ""), *(column.get(index, "") for column in columns)] for index in indices]
    blocks.rows([["", *names], *rows])


def _cached(label: Element) -> str:
    return " ".join(value.text or "" for value in label.iter("v"))


def _points(values: Element) -> dict[int, str]:
    found: dict[int, str] = {}
    for cache in values.iter("strCache", "numCache", "strLit", "numLit", "lvl"):
        for point in cache.findall("pt"):
            index = number(point.get("idx"), -1)
            value = point.find("v")
            if 0 <= index < MAX_POINTS and value is not None and index not in found:
                found[index] = clean(value.text or "")
    return found


def comment(author: str | None, date: str | None, text: str) -> str:
    """Return a remark somebody wrote beside the text, as one bracketed line."""
    by = f" by {author}" if author else ""
    day = (date or "").partition("T")[0]
    on = f", {day}" if day else ""
    return f"[Comment{by}{on}: {clean(text)}]"


def attribute_text(element: Element | None, name: str) -> str | None:
    """Return an attribute of an element that may be missing."""
    return None if element is None else attribute(element, name)
