"""How the documentation is built: `sphinx-build -W --keep-going -b html docs docs/_build/html`, offline."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_extensions"))

import quire  # noqa: E402

project = "quire"
author = "The quire authors"
copyright = "The quire authors"
version = release = quire.__version__

# Formulas are drawn by KaTeX while the pages are built (formulas); its style and fonts lie in _static/katex.
extensions = ["myst_parser", "formulas", "settings_tables"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
exclude_patterns = ["_build", "_checks", "_extensions", "_static"]

# Both stand out from what is behind them, comments included (at least 4.5 to 1; the browser test measures it).
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = "quire"
html_static_path = ["_static"]
html_css_files = ["quire.css"]
html_logo = "_static/quire.svg"
html_favicon = "_static/quire.svg"
html_copy_source = False
html_show_sphinx = False
# For a summary the search would fetch each page that it finds, which browsers refuse for pages opened as files.
html_show_search_summary = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#8a3b1e",
        "color-brand-content": "#8a3b1e",
        "color-brand-visited": "#6b4a3e",
    },
    "dark_css_variables": {
        "color-brand-primary": "#f0a27e",
        "color-brand-content": "#f0a27e",
        "color-brand-visited": "#cfa896",
    },
}
