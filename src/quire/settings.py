"""Settings: each exists once, with its type, default, bounds and one sentence that is also its help."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from quire.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Settings(BaseModel):
    """Base of every group of settings: frozen, no unknown keys, each field with a description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )


S = TypeVar("S", bound=Settings)


def help_of(settings: type[Settings], field: str) -> str:
    """Return the one sentence that documents `field`, for a command's help."""
    return settings.model_fields[field].description or ""


def default_of(settings: type[Settings], field: str) -> Any:
    """Return the default of `field`, for a command's help."""
    return settings.model_fields[field].get_default(call_default_factory=True)


def build(settings: type[S], values: Mapping[str, Any], *, where: str = "settings") -> S:
    """Validate `values` (nested mappings) as `settings`.

    Raises:
        UsageError: names every key that is unknown or out of bounds, and what is allowed.
    """
    try:
        return settings.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError("; ".join(_sentences(settings, error)), where=where) from None


def check_value(settings: type[Settings], field: str, value: Any, *, where: str) -> None:
    """Check one value by itself, as far as that can be done without the others. Raises `UsageError`."""
    try:
        TypeAdapter(settings.model_fields[field].rebuild_annotation()).validate_python(value)
    except ValidationError as error:
        reasons = "; ".join(map(_reason, error.errors()))
        raise UsageError(f"{where} = {value!r}: {reasons}", where="settings") from None


def _sentences(settings: type[Settings], error: ValidationError) -> list[str]:
    lines = []
    for issue in error.errors():
        key = ".".join(str(part) for part in issue["loc"])
        if issue["type"] == "extra_forbidden":
            known = ", ".join(_known_keys(settings, issue["loc"][:-1]))
            lines.append(f"unknown key {key!r}, known there: {known}")
        else:
            lines.append(f"{key} = {issue['input']!r}: {_reason(issue)}" if issue["loc"] else _reason(issue))
    return lines


def _reason(issue: Mapping[str, Any]) -> str:
    """Return what is wrong, as the end of a sentence: an error that was raised by a check, in its own words."""
    raised = issue.get("ctx", {}).get("error") if issue["type"] == "value_error" else None
    return str(raised) if raised is not None else f"{issue['msg'][0].lower()}{issue['msg'][1:]}"


def _known_keys(settings: type[Settings], path: Sequence[Any]) -> list[str]:
    group: Any = settings
    for part in path:
        if isinstance(part, str):  # a number is a place in a list, whose items were found with the list
            group = _settings_in(group.model_fields[part].annotation)
    return sorted(group.model_fields)


def _settings_in(annotation: Any) -> Any:
    """Return the Settings class that an annotation such as `list[Layer]` or `Layer | None` is about, or None."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next((found for part in get_args(annotation) if (found := _settings_in(part)) is not None), None)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file as nested dictionaries. Raises `UsageError` where it is missing or not TOML."""
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        return content
    except FileNotFoundError:
        raise UsageError("no such file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(str(error), where=path) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not valid TOML: {error}", where=path) from None


def parse_assignment(text: str) -> tuple[list[str], Any]:
    """Split `a.b=value` into its path and value; the value is read as TOML where it is TOML, else as a string.

    Raises:
        UsageError: there is no `=` or the key is empty.
    """
    key, found, value = text.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not found or not all(path):
        raise UsageError(f"{text!r} is not of the form key.subkey=value", where="--set")
    try:
        return path, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path, value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on top, group by group; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def with_assignments(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return `values` with each `a.b=value` of `assignments` laid on top, in order."""
    result = dict(values)
    for text in assignments:
        path, value = parse_assignment(text)
        tree: Any = value
        for part in reversed(path):
            tree = {part: tree}
        result = merge(result, tree)
    return result
