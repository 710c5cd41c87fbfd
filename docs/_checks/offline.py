"""Reads a built site as files: what its pages would load, and where their links lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

URL_IN_STYLE = re.compile(r"@import\s+(?:url\()?\s*['\"]?([^'\")\s;]+)|url\(\s*['\"]?([^'\")]+)")
# A script that names an address in one of these would ask for it; addresses in comments and in links it makes are not.
ASKING = re.compile(
    r"(?:fetch|import|importScripts|open|sendBeacon|WebSocket|EventSource|Request)\s*\(\s*(?:[\"'][A-Z]+[\"']\s*,\s*)?"
    r"[\"'`]((?:https?:|wss?:)?//[^\"'`]+)|(?:\.src|\.href)\s*=\s*[\"'`]((?:https?:)?//[^\"'`]+)"
)
LOADING = {
    ("script", "src"), ("img", "src"), ("img", "srcset"), ("iframe", "src"), ("source", "src"), ("source", "srcset"),
    ("video", "src"), ("video", "poster"), ("audio", "src"), ("embed", "src"), ("object", "data"), ("image", "href"),
    ("image", "xlink:href"), ("use", "href"), ("use", "xlink:href"), ("track", "src"), ("input", "src"),
    ("form", "action"),
}  # fmt: skip
LOADING_LINKS = {"stylesheet", "icon", "shortcut", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest",
                 "modulepreload", "apple-touch-icon"}  # fmt: skip


class Page(HTMLParser):
    """What one page loads by itself, where its links lead, and the names that links may lead to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self._in_style = self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        self._in_style, self._in_script = tag == "style", tag == "script"
        for name, value in given.items():
            if (tag, name) in LOADING:
                self.loads += [part.split()[0] for part in value.split(",")] if name == "srcset" else [value]
        if tag == "link":
            target = self.loads if LOADING_LINKS & set(given.get("rel", "").lower().split()) else self.links
            target.append(given.get("href", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.loads.append(given.get("content", "").partition("=")[2])
        self.loads += in_style(given.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loads += in_style(data)
        if self._in_script:
            self.loads += in_script(data)


def in_style(style: str) -> list[str]:
    """Return the addresses that a style sheet loads."""
    return [one or other for one, other in URL_IN_STYLE.findall(style)]


def in_script(script: str) -> list[str]:
    """Return the outside addresses that a script would plainly ask for."""
    return [one or other for one, other in ASKING.findall(script)]


def is_outside(address: str) -> bool:
    """Return whether an address leads to another machine."""
    return not address.startswith("data:") and (bool(urlsplit(address).netloc) or address.startswith("//"))


def problems(site: Path) -> list[str]:
    """Return what a site would load from outside, and which of its own links and files are missing."""
    pages = {file: Page(file.read_text("utf-8")) for file in sorted(site.rglob("*.html"))}
    found = []
    for file, page in pages.items():
        name = file.relative_to(site)
        found += [f"{name}: loads {address} from outside" for address in page.loads if is_outside(address)]
        for address in [*page.loads, *page.links]:
            reason = _missing(site, file, address, pages)
            if reason is not None:
                found.append(f"{name}: {address} {reason}")
    for file in sorted([*site.rglob("*.css"), *site.rglob("*.js"), *site.rglob("*.svg")]):
        found += [f"{file.relative_to(site)}: {fault}" for fault in _loaded_by(file)]
    return found


def _loaded_by(file: Path) -> Iterator[str]:
    text = file.read_text("utf-8", errors="replace")
    if file.suffix == ".svg":
        page = Page(text)
        yield from (f"loads {address} from outside" for address in page.loads if is_outside(address))
        return
    for address in in_style(text) if file.suffix == ".css" else in_script(text):
        if is_outside(address):
            yield f"loads {address} from outside"
        elif file.suffix == ".css" and not address.startswith(("data:", "#")):
            yield from [] if (file.parent / unquote(urlsplit(address).path)).exists() else [f"{address} is missing"]


def _missing(site: Path, file: Path, address: str, pages: dict[Path, Page]) -> str | None:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or address in ("", "#"):
        return None
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if not target.is_relative_to(site.resolve()) and target != file:
        return "leads out of the site"
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "is missing"
    page = pages.get(target) or pages.get(site / target.relative_to(site.resolve())) if parts.path else pages[file]
    if parts.fragment and page is not None and unquote(parts.fragment) not in page.names:
        return "names no place of that page"
    return None
