"""Markdown as the signs of arithmetic: numbers, operators, brackets, relations, and what stands between them.

Prose, inline code, ```text blocks, the outputs in ```console blocks and formulas are read; code, links, comments and
settings are not. A `break` stands wherever a statement cannot go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from _checks.expressions import Token
from _checks.intervals import FUNCTIONS
from _checks.pages import fences

BREAK, EDGE = "\x1f", "\x1e"
SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
NAMES = {"σ": "sigmoid", r"\sigma": "sigmoid", "log₂": "log2", "log_2": "log2", r"\log_2": "log2", r"\log_{2}": "log2"}
MATRICES = "(?:p|b|v|V|B|small)?matrix"
SEPARATING = (
    r"Rightarrow|implies|to|rightarrow|longrightarrow|Longrightarrow|leftarrow|leq?|geq?|lt|gt|neq?|mapsto|qquad|quad|iff|land|"
    r"wedge|in|mid|colon|propto|ll|gg|sim|equiv|tag|label"
)

SIGNS = [
    ("newline", r"\n"),
    (
        "blank",
        r"[ \t~\u00a0\u2009\u202f]+|\\[,;:! ]|\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits|nonumber)(?![A-Za-z])",
    ),
    ("break", BREAK),
    ("edge", EDGE),
    ("opaque", r"\d{4}-\d\d(?:-\d\d)?(?!\d)|\d+(?:\.\d+){2,}|\d+:\d+(?::\d+)*|(?<![\w.])v\d[\w.]*"),
    ("number", r"(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d+(?:_\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?:…|\.\.\.)?|\.\d+"),
    ("e", r"(?<![A-Za-z])e(?=\s*\^)|\\mathrm\{e\}(?=\s*\^)"),
    ("worded", r"\\(?:text|textbf|textit|mbox)\{[^{}]*\}"),
    ("named", r"\\(?:mathrm|operatorname|mathit|mathsf|mathbf)\*?\{(?P<name>[^{}]*)\}(?:_\{[^{}]*\}|_\w)?"),
    ("matrix", rf"\\begin\{{{MATRICES}\}}"),
    ("end", rf"\\end\{{{MATRICES}\}}"),
    ("skipped", r"\\(?:begin|end)\{(?:aligned|align|align\*|split|gathered|equation)\}"),
    ("break", r"\\(?:begin|end)\{[^{}]*\}(?:\{[^{}]*\})?"),
    ("row", r"\\\\(?:\[[^\]]*\])?"),
    ("frac", r"\\[dtc]?frac(?![A-Za-z])"),
    ("sqrt", r"\\sqrt(?![A-Za-z\[])|√"),
    ("wrap", r"\\(?:underbrace|overbrace|boxed)(?![A-Za-z])"),
    ("transposed", r"\\top(?![A-Za-z])|\\intercal|⊤"),
    ("*", r"\\times(?![A-Za-z])|\\cdot(?![A-Za-z])|\*\*?|×|·|⋅|(?<=\d )x(?= [-−(]?\d)"),
    ("≈", r"\\approx(?![A-Za-z])|≈|≃"),
    ("other", r"==|[<>!:+*/]=|=>|≤|≥|≠|<|>|→|->|⇒|∈|∝"),
    ("%", r"\\?%"),
    ("…", r"…|\.\.\.|\\[cl]?dots[bcm]?(?![A-Za-z])"),
    ("break", rf"\\(?:{SEPARATING})(?![A-Za-z])|\\[{{}}#$_]"),
    ("mod", r"\\bmod(?![A-Za-z])"),
    ("pi", r"\\pi(?![A-Za-z_])|π(?![\w(])"),
    ("vulgar", "[¼½¾⅐-⅞]"),
    ("function", r"\\log_(?:2|\{2\})|\\(?:max|min|exp|ln|log|tanh|sqrt|sin|cos|tan)(?![A-Za-z_])"),
    ("letter", r"\\[A-Za-z]+(?:_\{[^{}]*\}|_\w)?"),
    ("word", r"[^\W\d_⁰¹²³⁴⁵⁶⁷⁸⁹][^\W⁰¹²³⁴⁵⁶⁷⁸⁹'’′]*"),
    ("raised", r"⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"),
    ("=", r"="),
    ("sign", r"[-+/^_(){}\[\],&−÷]"),
    ("break", r"[|;?!\"“”„‘’•:.…—–]"),
    ("opaque", r"."),
]
SIGN = re.compile("|".join(f"(?P<s{number}>{pattern})" for number, (_, pattern) in enumerate(SIGNS)))
TAIL = re.compile(r"(?!π(?![\w(])|[¼½¾⅐-⅞])[^\W\d⁰¹²³⁴⁵⁶⁷⁸⁹]\w*")
RELATIONS = ("=", "≈")
SPOKEN = {"plus": "+", "minus": "-", "times": "*", "over": "/", "per": "/", "mod": "mod", "modulo": "mod"}


def _blank(text: list[str], start: int, end: int, filling: str = " ") -> None:
    for position in range(start, end):
        if text[position] != "\n" or filling != " ":
            text[position] = filling


def masked(markdown: str) -> tuple[str, list[str]]:
    """Return the page, sign for sign in its place, without what is no arithmetic; and how each sign is to be read."""
    text, modes = list(markdown), ["prose"] * len(markdown)
    for block in fences(markdown):
        _blank(text, block.start, block.body_start, BREAK)
        _blank(text, block.body_end, block.end, BREAK)
        if block.language not in ("text", "console"):
            _blank(text, block.body_start, block.body_end, BREAK)
            continue
        modes[block.start : block.end] = ["text"] * (block.end - block.start)
        if block.language == "console":
            for command in re.finditer(
                r"^ *[$>] (?:.*\\\n)*.*", markdown[block.body_start : block.body_end], re.MULTILINE
            ):
                _blank(text, block.body_start + command.start(), block.body_start + command.end(), BREAK)

    def prose() -> str:
        return "".join(sign if mode == "prose" else BREAK for sign, mode in zip(text, modes, strict=True))

    for comment in re.finditer(r"<!--.*?-->", prose(), re.DOTALL):
        _blank(text, *comment.span())
    for kind, pattern in (
        ("code", r"(?<!`)(`+)(?!`)([^\x1f]+?)(?<!`)\1(?!`)"),
        ("math", r"(?<!\\)(\$\$)([^\x1f]+?)\$\$"),
        ("math", r"(?<!\\)(\\\()([^\x1f]+?)\\\)"),
        ("math", r"(?<!\\)(\\\[)([^\x1f]+?)\\\]"),
        ("math", r"(?<![\\$\w])(\$)(?!\s)([^$\x1f]+?)(?<!\s)\$(?!\d)"),
    ):
        for span in re.finditer(pattern, prose()):
            if kind == "math" or "\n\n" not in span[2]:
                modes[span.start() : span.end()] = [kind] * (span.end() - span.start())
                _blank(text, span.start(), span.start(2), EDGE)
                _blank(text, span.end(2), span.end(), EDGE)
    for pattern, filling in (
        (r"\]\([^)\s]*\)", EDGE),
        (r"\w+://[^\s)>]+", BREAK),
        (r"</?(?!sub|sup)[a-zA-Z][^<>]*>", BREAK),
        (r"(?m)^(?:[ \t>]*(?:[-*+]|\d+[.)])[ \t]+|[ \t]*#+ |[ \t]*>+|[ \t]*:[ \t]+)+", BREAK),
        (r"\n[ \t]*(?=\n|\|)", BREAK),
        (r"(?<=[^\s])\*+(?=[\s.,;:)]|\Z)|(?<![^\s(])\*+(?=\S)", " "),
    ):
        for found in re.finditer(pattern, prose()):
            _blank(text, *found.span(), filling)
    for found in re.finditer(r"<(/?)(sub|sup)>", prose()):
        _blank(text, *found.span())
        if not found[1]:
            text[found.start()] = "_" if found[2] == "sub" else "^"
    return "".join(text), modes


def signs(markdown: str) -> list[Token]:
    """Return the signs of a page in order."""
    return list(_joined(_raw(*masked(markdown))))


def _raw(text: str, modes: list[str]) -> Iterator[Token]:
    position, spaced, inside = 0, True, 0
    while position < len(text):
        found = SIGN.match(text, position)
        if found is None:
            raise AssertionError("every sign is matched by the last pattern")
        kind, spelled, mode = (
            SIGNS[int(found.lastgroup[1:])][0] if found["name"] is None else "named",
            found[0],
            modes[position],
        )
        start, position = position, found.end()
        if kind == "newline" and mode == "text":
            yield Token("newline", spelled, start, spaced, mode)
        if kind in ("blank", "skipped", "newline"):
            spaced = True
            continue
        if kind == "number":
            if tail := TAIL.match(text, position):  # 2x, 3D, 16k
                kind, spelled, position = "letter", spelled + tail[0], tail.end()
            spelled = spelled.replace("...", "…")
            if spelled.endswith("…") and "." not in spelled:
                kind = "opaque"
        elif kind == "named":
            name = found["name"].strip().lower()
            kind, spelled = ("function", name) if name in FUNCTIONS else ("letter", spelled)
        elif kind == "worded":
            kind = "word"
            mode = "prose"
        elif kind == "function":
            spelled = NAMES.get(spelled, spelled.lstrip("\\"))
        elif kind == "letter" and spelled in NAMES and text[position : position + 1] in ("(", "\\"):
            kind, spelled = "function", NAMES[spelled]
        elif kind == "word":
            kind, spelled = _word(spelled, text, position, mode)
        elif kind == "raised":
            spelled = spelled.translate(SUPERSCRIPT)
        elif kind == "matrix":
            inside += 1
        elif kind == "end":
            inside -= 1
        elif kind == "row" and not inside:
            kind = "newline"
        elif kind == "*" and spelled == "**" and mode in ("code", "text"):
            kind = "^"
        elif kind == "sign":
            kind = {"−": "-", "÷": "/"}.get(spelled, spelled)
            if kind == "&":
                if not inside:
                    spaced = True
                    continue
                kind = "cell"
            before, after = text[start - 1 : start], text[position : position + 1]
            if spelled == "-" and mode == "prose" and before.isalnum() and after.isalnum():
                kind = "opaque"  # pages 1-3, GPT-2
        yield Token(kind, spelled, start, spaced, mode)
        spaced = False


def _word(spelled: str, text: str, position: int, mode: str) -> tuple[str, str]:
    name = NAMES.get(spelled, spelled.lower())
    if name in FUNCTIONS and (text[position : position + 1] == "(" or (name in ("ln", "exp") and mode != "prose")):
        return "function", name
    if spelled == "T" and mode == "math":
        return "transposed" if text[:position].rstrip("T{ ").endswith("^") else "letter", spelled
    plain = mode in ("prose", "text") and (len(spelled) > 1 or spelled in "aAI") and not re.search(r"[\d_]", spelled)
    return ("word" if plain else "letter"), spelled


def _spoken(tokens: list[Token]) -> Iterator[Token]:
    """Yield tokens with `plus`, `over` and their like as signs where they stand between numbers."""
    for number, token in enumerate(tokens):
        before, after = (tokens[at] if 0 <= at < len(tokens) else None for at in (number - 1, number + 1))
        spoken = SPOKEN.get(token.text.lower()) if token.kind in ("word", "letter") else None
        between = before is not None and before.kind in ("number", ")", "%", "vulgar", "raised", "pi")
        if spoken and between and after is not None and after.kind in ("number", "(", "-", "vulgar", "pi"):
            yield replace(token, kind=spoken)
        else:
            yield token


def _joined(tokens: Iterator[Token]) -> Iterator[Token]:
    """Drop ends of lines and edges of code and formulas where a statement goes on over them."""
    found = list(_spoken(list(tokens)))
    for number, token in enumerate(found):
        if token.kind in ("newline", "edge"):
            around = ("edge", "newline")
            before = next((other.kind for other in reversed(found[:number]) if other.kind not in around), "break")
            after = next((other.kind for other in found[number + 1 :] if other.kind not in around), "break")
            if before in (*RELATIONS, "+", "*", "/") or after in (*RELATIONS, "+", "*", "/"):
                continue
            yield Token("break", token.text, token.position, token.spaced, token.mode)
        else:
            yield token
