"""Writes a table for each Settings class of quire, from the class itself, in place of `<!-- settings-tables -->`."""

from __future__ import annotations

import importlib
import pkgutil
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

import quire
from quire.settings import Settings

ROOMS = ("documents", "corpus", "tokens", "model", "training", "inference", "evaluation", "interop")
MARK = "<!-- settings-tables -->"


def settings_classes() -> list[type[Settings]]:
    """Return every Settings class that a module of quire defines, in the order in which the data meet them."""
    found: dict[str, type[Settings]] = {}
    for module in pkgutil.walk_packages(quire.__path__, "quire."):
        if not module.name.endswith("__main__"):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, Settings) and value.__module__ == module.name:
                    found[f"{value.__module__}.{value.__name__}"] = value
    found.pop("quire.settings.Settings", None)
    return sorted(found.values(), key=_place)


def _place(settings: type[Settings]) -> int:
    room = settings.__module__.split(".")[1]
    return ROOMS.index(room) if room in ROOMS else len(ROOMS)


def groups(settings: type[Settings], among: Sequence[type[Settings]]) -> list[str]:
    """Return where the keys of a class stand in a larger group, "`training.` in [RunConfig](#runconfig)"."""
    return [
        f"`{name}.` in {type_name(whole)}"
        for whole in among
        for name, field in whole.model_fields.items()
        if field.annotation is settings
    ]


def type_name(annotation: Any) -> str:
    """Return an annotation as a reader would write it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value!r}`".replace("'", '"') for value in arguments)
    if origin in (typing.Union, types.UnionType):
        parts = [type_name(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(parts) + (" or none" if type(None) in arguments else "")
    if origin in (tuple, list):
        kinds = [type_name(argument) for argument in arguments if argument is not Ellipsis]
        return f"list of {kinds[0]}" if len(set(kinds)) == 1 else f"({', '.join(kinds)})"
    if origin in (dict, Mapping):
        return f"table of {type_name(arguments[0])} to {type_name(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path", Any: "anything"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def bounds(metadata: list[Any]) -> Iterator[str]:
    """Yield the limits of a field, "≥ 1" and the like."""
    for limit in metadata:
        for kind, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"), ("multiple_of", "multiple of")):
            if getattr(limit, kind, None) is not None:
                yield f"{sign}\N{NO-BREAK SPACE}{getattr(limit, kind):,}"
        if isinstance(limit, annotated_types.MinLen) and limit.min_length:
            yield "not empty" if limit.min_length == 1 else f"at least {limit.min_length} long"
        if isinstance(limit, annotated_types.MaxLen):
            yield f"at most {limit.max_length} long"


def default(field: FieldInfo) -> str:
    """Return the default of a field as it would stand in a TOML file, or a dash where a value must be given."""
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Settings):
        return "its own defaults"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 10_000:
        return f"`{value:_}`"
    if isinstance(value, (tuple, list)):
        return f"`{list(value)!r}`".replace("'", '"')
    return f'`"{value}"`' if isinstance(value, (str, Path)) else f"`{value!r}`"


def table(settings: type[Settings], among: Sequence[type[Settings]]) -> str:
    """Return the section of one class, as Markdown; `among` are the classes that may hold it as a group."""
    sentence = (settings.__doc__ or "").strip().splitlines()[0]
    rows = ["| key | allowed | default | what it does |", "|---|---|---|---|"]
    for name, field in settings.model_fields.items():
        allowed = ", ".join([type_name(field.annotation), *bounds(field.metadata)])
        cells = (f"`{name}`", allowed, default(field), _plain(field.description or ""))
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    standing = groups(settings, among)
    keys = f" Keys begin with {' and '.join(standing)}." if standing else ""
    home = f"In Python: `{settings.__module__}.{settings.__name__}`.{keys}"
    anchor = f"({settings.__name__.lower()})="
    return "\n".join([anchor, f"## {settings.__name__}", "", sentence, "", home, "", *rows, ""])


def _plain(sentence: str) -> str:
    """Return a sentence on one line, in which brackets are brackets and no link."""
    return " ".join(sentence.split()).replace("[", r"\[")


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    if MARK in source[0]:
        classes = settings_classes()
        source[0] = source[0].replace(MARK, "\n".join(table(settings, classes) for settings in classes))
        # The page depends on the classes, not on a file that Sphinx watches: read it anew at each build.
        app.env.note_reread()


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", fill)
    return {"version": "1", "parallel_read_safe": True}
