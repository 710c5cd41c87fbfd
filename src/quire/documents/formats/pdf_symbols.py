"""Symbols of TeX's mathematical fonts, where PDFium knows only their codes and takes those for letters."""

from __future__ import annotations

import ctypes
import re
import unicodedata
from typing import Any

from quire.documents.formats.pdf_glyphs import raw_pdfium

# Stands for what has no character of its own: wide accents, and what lengthens a bracket. It goes with the controls.
_NOTHING = "\x7f"

# Strikes out the symbol that comes behind it.
_NOT = "\u0338"

# The encodings of the fonts, 16 codes to a row; "." where a glyph has no character of its own.
_ENCODINGS = {
    "SY": (  # OMS
        "−·×∗÷⋄±∓⊕⊖⊗⊘⊙◯∘•",
        "≍≡⊆⊇≤≥⪯⪰∼≈⊂⊃≪≫≺≻",
        "←→↑↓↔↗↘≃⇐⇒⇑⇓⇔↖↙∝",
        f"′∞∈∋△▽{_NOT}.∀∃¬∅ℜℑ⊤⊥",
        "ℵABCDEFGHIJKLMNO",
        "PQRSTUVWXYZ∪∩⊎∧∨",
        "⊢⊣⌊⌋⌈⌉{}⟨⟩|‖↕⇕\\≀",
        "√∐∇∫⊔⊓⊑⊒§†‡¶♣♢♡♠",
    ),
    "EX": (  # OMX
        "()[]⌊⌋⌈⌉{}⟨⟩|‖/\\",
        "()()[]⌊⌋⌈⌉{}⟨⟩/\\",
        "()[]⌊⌋⌈⌉{}⟨⟩/\\/\\",
        "()[]....{}.....|",
        "....⟨⟩⨆⨆∮∮⨀⨀⨁⨁⨂⨂",
        "∑∏∫⋃⋂⨄⋀⋁∑∏∫⋃⋂⨄⋀⋁",
        "∐∐......[]⌊⌋⌈⌉{}",
        "√√√√√..‖↑↓....⇑⇓",
    ),
    "MI": (  # OML
        "ΓΔΘΛΞΠΣΥΦΨΩαβγδϵ",
        "ζηθικλμνξπρστυϕχ",
        "ψωεϑϖϱςφ↼↽⇀⇁..▷◁",
        "0123456789.,</>⋆",
        "∂ABCDEFGHIJKLMNO",
        "PQRSTUVWXYZ♭♮♯⌣⌢",
        "ℓabcdefghijklmno",
        "pqrstuvwxyzıȷ℘..",
    ),
}
_PERIOD = ("MI", 0x3A)
_SYMBOLS = {
    (name, code): _NOTHING if symbol == "." and (name, code) != _PERIOD else symbol
    for name, rows in _ENCODINGS.items()
    for code, symbol in enumerate("".join(rows))
}
_CIRCLED = {"c": "©", "R": "®"}

_FONT = re.compile(rb"(?:CMB?|LMMath)(SY|EX|MI|Sy|Ex|It)")
_LATIN_MODERN = {"Sy": "SY", "Ex": "EX", "It": "MI"}

# Where such symbols pass for letters, words seldom have those: an h that opens a bracket, a k that is a norm, capitals
# by themselves that are sums and integrals, a 6 that strikes out a sign. And controls. What comes before a letter is
# looked at last, so that most of a page is skipped by its characters. A page without these has none of the others.
_SUSPECTED = (
    r"[hk](?<![^\W_].)|[P-Z](?<![^\W_].)(?![^\W\d_]{3})|6(?= ?[=∈⊂⊆∼≡<>≤≥])|[\x01-\x08\x0b\x0c\x0e-\x1f<\[]"
    r"|\r(?!\n)|\n(?<!\r\n)"
)
# The class before it is of all characters that any of them begins with: by it the engine skips the others at once.
_SUSPECT = re.compile(rf"(?=[hkP-Z6\x01-\x08\x0a-\x1f<\[])(?:{_SUSPECTED})")
_OTHERS = re.compile(rf"[bik](?![^\W_])|[a-z](?<![^\W_].)(?![^\W_])|0(?<=[a-zA-Z)]0)|{_NOT}|{_SUSPECTED}")


def with_symbols(handle: Any, text: str) -> str:
    """Return `text`, all that PDFium gives for the text page `handle`, with the symbols of TeX's fonts in their places.

    Every character stays where it is; control characters stand for glyphs that have none.
    """
    pdfium = raw_pdfium()
    index, is_unknown = pdfium.FPDFText_GetCharIndexFromTextIndex, pdfium.FPDFText_HasUnicodeMapError
    if not any(is_unknown(handle, index(handle, match.start())) == 1 for match in _SUSPECT.finditer(text)):
        return text
    found = []
    for match in _OTHERS.finditer(text):
        number = index(handle, match.start())
        if is_unknown(handle, number) == 1 or match[0] == _NOT:
            found.append((match.start(), number))
    characters = list(text)
    name, flags = ctypes.create_string_buffer(100), ctypes.c_int()
    for place, number in found:
        pdfium.FPDFText_GetFontInfo(handle, number, name, len(name), flags)
        font = _FONT.search(name.value)
        if font is not None:
            family = font[1].decode()
            characters[place] = _SYMBOLS.get((_LATIN_MODERN.get(family, family), ord(text[place])), text[place])
        if characters[place] == "◯" and "".join(characters[place + 1 : place + 2]) in _CIRCLED:
            characters[place : place + 2] = _NOTHING, _CIRCLED[characters[place + 1]]
        if characters[place] == _NOT:
            characters[place] = _NOTHING
            struck = place + 1 + (characters[place + 1 : place + 2] == [" "])
            both = unicodedata.normalize("NFC", "".join(characters[struck : struck + 1]) + _NOT)
            if struck < len(characters) and len(both) == 1:
                characters[struck] = both
    return "".join(characters)
