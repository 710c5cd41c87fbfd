"""Whether every statement of an explanation passes the arithmetic check of the documentation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
from _checks.arithmetic import checked


def holds(explanation, statements=1):
    """Check an explanation as Markdown and as text; at least `statements` of its statements must be checked."""
    for page in (explanation.to_markdown(), f"```text\n{explanation.to_text()}```\n"):
        count, problems = checked(page, computed=True)
        assert not problems, f"{problems[0]}\n{page}"
        assert count >= statements
