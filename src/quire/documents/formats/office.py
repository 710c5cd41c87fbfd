"""What office files and electronic books are called, and how they are told apart by their first bytes."""

from __future__ import annotations

_OOXML = "application/vnd.openxmlformats-officedocument"
_MACROS = "application/vnd.ms"
_ODF = "application/vnd.oasis.opendocument"

WORD = ("docx", f"{_OOXML}.wordprocessingml.document")
SLIDES = ("pptx", f"{_OOXML}.presentationml.presentation")
SHEETS = ("xlsx", f"{_OOXML}.spreadsheetml.sheet")
BOOK = ("epub", "application/epub+zip")

EXTENSIONS: dict[str, tuple[str, str]] = {
    ".docx": WORD,
    ".docm": ("docx", f"{_MACROS}-word.document.macroEnabled.12"),
    ".dotx": ("docx", f"{_OOXML}.wordprocessingml.template"),
    ".dotm": ("docx", f"{_MACROS}-word.template.macroEnabled.12"),
    ".pptx": SLIDES,
    ".pptm": ("pptx", f"{_MACROS}-powerpoint.presentation.macroEnabled.12"),
    ".ppsx": ("pptx", f"{_OOXML}.presentationml.slideshow"),
    ".ppsm": ("pptx", f"{_MACROS}-powerpoint.slideshow.macroEnabled.12"),
    ".potx": ("pptx", f"{_OOXML}.presentationml.template"),
    ".potm": ("pptx", f"{_MACROS}-powerpoint.template.macroEnabled.12"),
    ".xlsx": SHEETS,
    ".xlsm": ("xlsx", f"{_MACROS}-excel.sheet.macroEnabled.12"),
    ".xltx": ("xlsx", f"{_OOXML}.spreadsheetml.template"),
    ".xltm": ("xlsx", f"{_MACROS}-excel.template.macroEnabled.12"),
    ".odt": ("odf", f"{_ODF}.text"),
    ".ott": ("odf", f"{_ODF}.text-template"),
    ".ods": ("odf", f"{_ODF}.spreadsheet"),
    ".ots": ("odf", f"{_ODF}.spreadsheet-template"),
    ".odp": ("odf", f"{_ODF}.presentation"),
    ".otp": ("odf", f"{_ODF}.presentation-template"),
    ".fodt": ("odf", f"{_ODF}.text-flat-xml"),
    ".fods": ("odf", f"{_ODF}.spreadsheet-flat-xml"),
    ".fodp": ("odf", f"{_ODF}.presentation-flat-xml"),
    ".epub": BOOK,
}
"""Extension to the reader and the media type."""

SAVE_AS: dict[str, str] = {
    **dict.fromkeys(
        (".doc", ".dot", ".rtf", ".wpd", ".pages"), "a word processor file of a kind not read; save it as .docx"
    ),
    **dict.fromkeys((".xls", ".xlsb", ".numbers"), "a spreadsheet of a kind not read; save it as .xlsx"),
    **dict.fromkeys((".ppt", ".pps", ".key"), "a slide deck of a kind not read; save it as .pptx"),
}
"""Extensions of office files that no reader takes, and what to do about them."""

# Where the first member of an Office file lies, to tell one from an archive that holds Office files as they are.
_PARTS = ("[Content_Types].xml", "_rels/", "docProps/", "word/", "ppt/", "xl/", "customXml/", "[trash]/")

_MAIN_PARTS = {b"word/document.xml": WORD, b"ppt/presentation.xml": SLIDES, b"xl/workbook.xml": SHEETS}
_MIMETYPE = slice(30, 38)
_STATED = slice(38, 120)


def office_type(head: bytes) -> tuple[str, str] | None:
    """Return reader and media type of the office file or book that a zip begins as, or None where it does not show.

    OpenDocument and EPUB state their type in the first member; of the others the name of the main part is looked for.
    """
    if not head.startswith(b"PK\x03\x04"):
        return None
    if head[_MIMETYPE] == b"mimetype":
        stated = head[_STATED]
        for kind in sorted({*EXTENSIONS.values()}, key=lambda kind: -len(kind[1])):
            if stated.startswith(kind[1].encode()):
                return kind
        return None
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")].replace(b"\\", b"/")
    if not name.startswith(tuple(part.encode() for part in _PARTS)):
        return None
    if b"[Content_Types].xml" in head or b"_rels/.rels" in head:
        return next((kind for part, kind in _MAIN_PARTS.items() if part in head), None)
    return None
