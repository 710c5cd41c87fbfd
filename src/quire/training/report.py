"""report.html of a run: what came out, its curves, the plan with reasons, samples; one file that opens offline."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from quire.evaluation import Score
from quire.files import write_text
from quire.model.size import count_parameters, size_table
from quire.training.checkpoint import TrainingState
from quire.training.config import RunConfig
from quire.training.plan import describe
from quire.training.samples import samples_path

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
SAMPLE = re.compile(r"^\*\*(.*?)\*\* \.\.\.\n\n````text\n(.*?)\n````$", re.MULTILINE | re.DOTALL)


def write_report(
    run: Path,
    config: RunConfig,
    reasons: Mapping[str, str],
    score: Score,
    state: TrainingState,
) -> Path:
    """Write RUN/quire/report.html and return its path. Raises `QuireError` where it cannot be written."""
    tiles = [
        (f"{score.bits_per_byte:.3f}", "bits per byte on text it was not trained on"),
        (f"{score.accuracy:.1%}", "of next tokens guessed right"),
        (f"{count_parameters(config.model):,}", "parameters"),
        (f"{state.seconds / 60:.1f} min", f"of training, {state.step:,} steps"),
    ]
    plots = sorted((run / "quire" / "plots").glob("*.svg"), key=lambda path: (path.stem != "loss", path.stem))
    plots = [path for path in plots if path.stem != "overview"]  # it repeats the others
    rows = describe(config, reasons)
    parts = [
        f"<h1>{escape(run.resolve().name)}</h1>",
        '<div class="tiles">',
        *(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for value, name in tiles),
        "</div>",
        f"<p>The model kept is that of step {state.best_step:,}, the best on the validation text "
        f"({score.bytes:,} bytes); perplexity {score.perplexity:.2f}, {score.nats_per_token:.4f} nats a token."
        + (f" {state.skipped:,} steps were skipped: gradients not finite." if state.skipped else "")
        + "</p>",
        "<h2>Curves</h2>",
        *(f"<figure>{_inline(path)}</figure>" for path in plots),
        "<h2>What it writes</h2>",
        _samples(samples_path(run)),
        "<h2>The plan, with reasons</h2>",
        '<div class="wide"><table><tr><th>setting</th><th>value</th><th>why</th></tr>',
        *(
            f"<tr><td><code>{escape(k)}</code></td><td>{escape(v)}</td><td>{escape(why)}</td></tr>"
            for k, v, why in rows
        ),
        "</table></div>",
        "<h2>Parameters and arithmetic</h2>",
        f"<pre>{escape(size_table(config.model))}</pre>",
    ]
    path = run / "quire" / "report.html"
    write_text(path, PAGE.replace("TITLE", escape(run.resolve().name)).replace("BODY", "\n".join(parts)))
    return path


def _inline(path: Path) -> str:
    text = path.read_text("utf-8")
    # Identifiers of one drawing must not meet those of another on the same page.
    prefix = re.sub(r"\W", "", path.stem)
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    return re.sub(r'(url\(#|href="#)([^)"]+)', rf"\g<1>{prefix}-\2", text)


def _samples(path: Path) -> str:
    if not path.exists():
        return "<p>No samples were written.</p>"
    pieces = SECTION.split(path.read_text("utf-8"))[1:]
    sections = list(zip(pieces[::2], pieces[1::2], strict=True))
    shown = [sections[0], sections[-1]] if len(sections) > 1 else sections
    return "\n".join(
        f"<h3>{escape(heading)}</h3>"
        + "".join(
            f'<p class="sample"><b>{escape(prompt)}</b> {escape(text.strip())}</p>'
            for prompt, text in SAMPLE.findall(body)
        )
        for heading, body in shown
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>TITLE - quire run</title>
<style>
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --card: #f5f7fa; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf0; --soft: #a3adba; --line: #39424f; --card: #1d232c; --page: #12161c; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; }
.tiles div { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; color: var(--soft); }
.tiles b { display: block; font-size: 1.5rem; color: var(--ink); }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
pre, .sample { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; }
.sample { white-space: pre-wrap; } code, pre { font-size: .85rem; }
</style></head><body>
BODY
</body></html>
"""
