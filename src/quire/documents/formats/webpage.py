"""A web page as a flat list of its nodes, and which of them are not what the page is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

UNSEEN = frozenset(
    (
        *("script", "style", "template", "head", "noframes", "iframe", "object", "embed", "audio", "video", "canvas"),
        *("svg", "map", "datalist", "rp", "rt", "rtc", "noembed", "param", "source", "track", "img", "picture"),
    )
)
"""Elements that show no text of their own; script and noscript are looked at for formulas and for all."""

_AROUND_TAGS = frozenset(("nav", "aside", "footer", "button", "select", "textarea", "dialog", "menu", "input"))
_AROUND_ROLES = frozenset(
    (
        *("navigation", "banner", "contentinfo", "search", "complementary", "dialog", "alertdialog", "alert"),
        *("menu", "menubar", "toolbar", "button", "tablist"),
    )
)
_AROUND_WORDS = frozenset(
    (
        *("nav", "navbar", "navbox", "navigation", "menu", "sidebar", "breadcrumb", "breadcrumbs", "footer"),
        *("masthead", "cookie", "cookies", "consent", "advert", "advertisement", "adsense", "promo", "sharing"),
        *("sharedaddy", "social", "newsletter", "subscribe", "popup", "modal", "pagination", "pager", "noprint"),
        *("toc", "editsection", "skiplink", "permalink", "headerlink", "catlinks", "jumplinks", "printfooter"),
    )
)
"""Words of class and id that name what stands around the text of a page."""

MOST = 0.5
"""What holds more than this share of a page's text is never taken for something around it."""

MAIN_FROM = 0.25
"""The one `main` element is the page if it holds at least this share of the text."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_NOT_SHOWN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@dataclass
class Webpage:
    """The nodes of a page in the order of the document, each with the number behind its last descendant.

    Args:
        tags: the name of each element; "" for a piece of text.
        texts: what each piece of text says; "" for elements.
        nodes: the elements that have attributes; None for others and for text.
        ends: the number of the first node that does not belong to this one.
        sizes: visible characters, white space not counted, in each node.
    """

    tags: list[str]
    texts: list[str]
    nodes: list[Any]
    ends: list[int]
    sizes: list[int]


def flatten(root: Any) -> Webpage:
    """Return the nodes of the tree under `root`, which may be as deep as it likes."""
    from resiliparse.parse.html import NodeType

    element, text_type = NodeType.ELEMENT, NodeType.TEXT
    page = Webpage([], [], [], [], [])
    tags, texts, nodes, ends, sizes = page.tags, page.texts, page.nodes, page.ends, page.sizes
    open_nodes: list[tuple[Any, int]] = []
    node = root
    while node is not None:
        kind = node.type
        child = None
        if kind == element:
            index = len(tags)
            tags.append(node.tag)
            texts.append("")
            nodes.append(node if node.attrs else None)
            ends.append(index + 1)
            sizes.append(0)
            child = node.first_child
            if child is not None:
                open_nodes.append((node, index))
                node = child
                continue
        elif kind == text_type:
            value = node.value or ""
            tags.append("")
            texts.append(value)
            nodes.append(None)
            ends.append(len(tags))
            sizes.append(len(value) - value.count(" ") - value.count("\n"))
        following = node.next if node is not root else None
        while following is None and open_nodes:
            above, index = open_nodes.pop()
            ends[index] = len(tags)
            following = above.next if open_nodes else None
        node = following
    _sum_sizes(page)
    return page


def _sum_sizes(page: Webpage) -> None:
    """Give each element the characters of what is in it, scripts and the like not counted."""
    before = [0]
    skip_until = 0
    for index, size in enumerate(page.sizes):
        if index >= skip_until and (page.tags[index] in UNSEEN or page.tags[index] == "noscript"):
            skip_until = page.ends[index]
        before.append(before[-1] + (0 if index < skip_until else size))
    for index, end in enumerate(page.ends):
        page.sizes[index] = before[end] - before[index]


def main_element(page: Webpage) -> int:
    """Return the number of the element that the page is about: its one `main`, or `article`, or all of it."""
    whole = page.sizes[0]
    found: dict[str, list[int]] = {"main": [], "article": []}
    for index, node in enumerate(page.nodes):
        for tag, places in found.items():
            named = page.tags[index] == tag or (node is not None and _role(node) == tag)
            if named and (not places or index >= page.ends[places[0]]):  # those inside of the first are parts of it
                places.append(index)
    for tag, least in (("main", MAIN_FROM), ("article", MOST)):
        places = found[tag]
        if len(places) == 1 and page.sizes[places[0]] >= least * whole > 0:
            return places[0]
    return 0


def is_hidden(page: Webpage, index: int) -> bool:
    """Return whether an element is never shown; one that holds most of the text waits for a script to show it."""
    node = page.nodes[index]
    if node is None or page.sizes[index] > MOST * page.sizes[0]:
        return False
    if node.hasattr("hidden") or node.getattr("aria-hidden") == "true":
        return True
    style = node.getattr("style")
    return style is not None and _NOT_SHOWN.search(style) is not None


def is_around(page: Webpage, index: int) -> bool:
    """Return whether an element stands around the content: menus, side bars, feet, forms."""
    tag, node = page.tags[index], page.nodes[index]
    if tag in ("html", "body", "main", "article") or page.sizes[index] > MOST * page.sizes[0]:
        return False
    if tag in _AROUND_TAGS:
        return True
    if node is None:
        return False
    role = _role(node)
    if role in _AROUND_ROLES:
        return True
    if role == "note":
        return False
    named = f"{node.getattr('class') or ''} {node.getattr('id') or ''}"
    return named != " " and any(word.lower() in _AROUND_WORDS for word in _WORD.findall(named))


def _role(node: Any) -> str:
    return (node.getattr("role") or "").lower()
