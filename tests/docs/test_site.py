"""The built site asks no other machine for anything, and is drawn, found and legible in a browser."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from _checks import offline

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
NARROW, WIDE = 390, 1280
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def is_current(built):
    """Return whether a site was built after everything that goes into it was last changed."""
    if not (built / "search.html").exists():
        return False
    sources = [file for file in DOCS.rglob("*") if file.is_file() and not {"_build", "__pycache__"} & set(file.parts)]
    sources += (REPOSITORY / "src").rglob("*.py")
    return max(file.stat().st_mtime for file in sources) < (built / "search.html").stat().st_mtime


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built with warnings as errors unless `make docs` has just built it."""
    built = DOCS / "_build" / "html"
    if is_current(built):
        return built
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "trees", DOCS, folder / "html"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_nothing_is_loaded_from_outside_and_no_link_leads_nowhere(site):
    assert offline.problems(site) == []


def test_loads_from_outside_and_broken_links_would_be_found(tmp_path):
    (tmp_path / "index.html").write_text(
        '<script src="https://cdn.example/x.js"></script><link rel="stylesheet" href="//cdn.example/x.css">'
        '<img src="gone.png"><a href="other.html#gone">a</a><a href="other.html#here">a</a><a href="../up.html">a</a>'
        '<a href="https://example.org">fine</a><p style="background: url(https://cdn.example/x.png)">',
        "utf-8",
    )
    (tmp_path / "other.html").write_text(
        '<h1 id="here">a</h1><style>@import "https://cdn.example/y.css";</style>', "utf-8"
    )
    (tmp_path / "a.css").write_text(
        "@font-face { src: url(gone.woff2) } p { background: url('data:image/png;base64,') }", "utf-8"
    )
    (tmp_path / "a.js").write_text(
        "// see https://example.org\nfetch('https://cdn.example/z'); x.src = '//cdn.example/w'", "utf-8"
    )
    assert offline.problems(tmp_path) == [
        "index.html: loads https://cdn.example/x.js from outside",
        "index.html: loads //cdn.example/x.css from outside",
        "index.html: loads https://cdn.example/x.png from outside",
        "index.html: gone.png is missing",
        "index.html: other.html#gone names no place of that page",
        "index.html: ../up.html leads out of the site",
        "other.html: loads https://cdn.example/y.css from outside",
        "a.css: gone.woff2 is missing",
        "a.js: loads https://cdn.example/z from outside",
        "a.js: loads //cdn.example/w from outside",
    ]


# From here on: the same in a browser.


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def address(site):
    """The address of a local server of the site."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium: that of QUIRE_CHROMIUM, or the first on the PATH."""
    program = os.environ.get("QUIRE_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH, and QUIRE_CHROMIUM names none")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses its sandbox to root
        chromium = driver.chromium.launch(executable_path=program, args=[*sandbox, "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


@pytest.fixture
def reader(browser):
    """A page of the browser that notes every request and every complaint."""
    context = browser.new_context(viewport={"width": WIDE, "height": 900})
    page = context.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    # Going on to the next page aborts what is still under way for this one.
    page.on(
        "requestfailed",
        lambda request: (
            None
            if request.failure == "net::ERR_ABORTED"
            else page.complaints.append(f"{request.url}: {request.failure}")
        ),
    )
    page.on("response", lambda got: page.complaints.append(f"{got.url}: {got.status}") if got.status >= 400 else None)
    page.on("console", lambda said: page.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


def names(site):
    return [file.relative_to(site).as_posix() for file in sorted(site.rglob("*.html"))]


# The text of the article without code and formulas: LaTeX that stands here was not drawn.
PLAIN = """() => {
  const copy = document.querySelector("article").cloneNode(true);
  copy.querySelectorAll(".katex, code, pre, script, style").forEach(part => part.remove());
  return copy.textContent;
}"""
FONTS = """async () => {
  await document.fonts.ready;
  const fonts = [...document.fonts].filter(font => font.family.startsWith("KaTeX"));
  const named = status => fonts.filter(font => font.status === status).length;
  const drawn = [...document.querySelectorAll(".katex-html")];
  return {formulas: drawn.length, loaded: named("loaded"), failed: named("error"),
          empty: drawn.filter(formula => formula.getBoundingClientRect().height < 4 && formula.offsetParent).length};
}"""
# What is wider than the window, and what makes it so.
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("article *")].filter(part => part.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(part => `${part.tagName} ${part.className} ${part.textContent.slice(0, 40)}`)
    .concat([`the page is ${document.documentElement.scrollWidth} px wide`]);
}"""
# The contrast (WCAG 2, relative luminance) of every piece of text with the first background behind it that is opaque.
CONTRAST = """() => {
  const parse = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = part => {
    for (; part; part = part.parentElement) {
      const colour = parse(getComputedStyle(part).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const poor = {};
  const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode());) {
    const part = text.parentElement, box = part.getBoundingClientRect();
    if (!text.textContent.trim() || !box.width) continue;
    if (part.closest(".katex-mathml, .headerlink, svg, script, style")) continue;
    const [a, b] = [light(parse(getComputedStyle(part).color)), light(behind(part))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = `${part.tagName}.${part.className} ${ratio.toFixed(2)}`;
    if (ratio < 4.5) poor[name] = text.textContent.trim().slice(0, 30);
  }
  return poor;
}"""


def test_every_page_is_drawn_without_asking_anyone_else(site, address, reader):
    formulas = 0
    for name in names(site):
        reader.goto(f"{address}/{name}", wait_until="load")
        plain = reader.evaluate(PLAIN)
        assert not re.search(r"\$\$|\\[a-zA-Z]+|katex-error", plain), f"{name}: LaTeX that is not drawn"
        assert reader.locator(".katex-error").count() == 0, name
        drawn = reader.evaluate(FONTS)
        assert drawn["failed"] == drawn["empty"] == 0, name
        assert bool(drawn["loaded"]) == bool(drawn["formulas"]), name
        formulas += drawn["formulas"]
        assert reader.complaints == [], name
    assert formulas > 10
    assert [url for url in reader.asked if not url.startswith((f"{address}/", "data:"))] == []


def test_pages_can_be_read_as_files(site, reader):
    for name in names(site):
        reader.goto((site / name).as_uri(), wait_until="load")
        assert not reader.evaluate(FONTS)["failed"], name
        assert reader.complaints == [], name
    assert [url for url in reader.asked if not url.startswith((site.as_uri(), "data:"))] == []


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_no_page_is_wider_than_the_window(site, address, reader, width):
    reader.set_viewport_size({"width": width, "height": 900})
    for name in names(site):
        reader.goto(f"{address}/{name}", wait_until="load")
        reader.evaluate("() => document.querySelectorAll('details').forEach(part => part.open = true)")
        assert reader.evaluate(OVERFLOW) == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(site, address, reader, scheme):
    reader.emulate_media(color_scheme=scheme)
    for name in names(site):
        reader.goto(f"{address}/{name}", wait_until="load")
        reader.evaluate("() => document.querySelectorAll('details').forEach(part => part.open = true)")
        assert reader.evaluate(CONTRAST) == {}, name


def test_light_and_dark_can_be_chosen(address, reader):
    reader.emulate_media(color_scheme="light")
    reader.goto(f"{address}/index.html", wait_until="load")
    seen = {}
    for _ in range(3):
        theme = reader.evaluate("() => document.body.dataset.theme")
        seen[theme] = reader.evaluate("() => getComputedStyle(document.body).backgroundColor")
        reader.locator(".theme-toggle:visible").first.click()
    assert set(seen) == {"auto", "light", "dark"}
    assert seen["auto"] == seen["light"] != seen["dark"]


@pytest.mark.parametrize("where", ["server", "files"])
def test_search_finds_a_word(site, address, reader, where):
    start = f"{address}/index.html" if where == "server" else (site / "index.html").as_uri()
    reader.goto(start, wait_until="load")
    reader.locator(".sidebar-search").fill("perplexity")
    reader.locator(".sidebar-search").press("Enter")
    reader.wait_for_selector("#search-results li a", timeout=60_000)
    found = [link.get_attribute("href") for link in reader.locator("#search-results li a").all()]
    assert any("glossary.html" in link for link in found)
    reader.locator("#search-results li a").first.click()
    reader.wait_for_load_state()
    assert "perplexity" in reader.locator("article").inner_text().lower()
    assert reader.complaints == []


def test_a_solution_opens(site, address, reader):
    chapters = [name for name in names(site) if "<details" in (site / name).read_text("utf-8")]
    for name in chapters:
        reader.goto(f"{address}/{name}", wait_until="load")
        solution = reader.locator("article details").first
        closed = solution.bounding_box()["height"]
        solution.locator("summary").click()
        assert solution.bounding_box()["height"] > closed, name
