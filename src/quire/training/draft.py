"""A configuration in the making: what the user set stands, the rest is chosen, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quire.errors import UsageError
from quire.settings import check_value
from quire.training.config import RunConfig

Reasons = dict[str, str]


class Draft:
    """Values being planned: what the user set wins, the rest is set with a reason.

    Args:
        given: settings of the user by group.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given
        self.values: dict[str, Any] = {key: dict(group) for key, group in given.items()}
        self.reasons: Reasons = {}
        for name, group in given.items():
            for key in group:
                self.reasons[f"{name}.{key}"] = "set by you"

    def choose(self, key: str, value: Any, reason: str) -> Any:
        """Set `key` ("group.name") unless the user did; return the value that stands."""
        group, _, name = key.partition(".")
        within = self.values.setdefault(group, {})
        if name not in within:
            within[name] = value
            self.reasons[key] = reason
        return within[name]


def check_groups(given: Mapping[str, Any]) -> None:
    """Check what the user set before any work is done on it, value by value.

    Raises:
        UsageError: a group or key that does not exist, a value where a group must stand, a value out of its bounds.
    """
    for name, group in given.items():
        if name not in RunConfig.model_fields:
            raise UsageError(f"unknown key {name!r}, known there: {', '.join(sorted(RunConfig.model_fields))}")
        if not isinstance(group, Mapping):
            raise UsageError(f"{name!r} is a group of settings, for instance {name}.{_first_key(name)}=…")
        settings: Any = RunConfig.model_fields[name].annotation
        for key, value in group.items():
            if key not in settings.model_fields:
                known = ", ".join(sorted(settings.model_fields))
                raise UsageError(f"unknown key {f'{name}.{key}'!r}, known there: {known}")
            check_value(settings, key, value, where=f"{name}.{key}")
    model = given.get("model", {})
    if not {"num_heads", "head_dim"} & set(model) and int(model.get("hidden_size", 0)) % 2:
        hint = "Take an even number, or set model.head_dim too"
        raise UsageError("an odd width has no heads of an even one", where="model.hidden_size", hint=hint)


def _first_key(group: str) -> str:
    settings: Any = RunConfig.model_fields[group].annotation
    return str(next(iter(settings.model_fields)))


def describe(config: RunConfig, reasons: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the plan as rows of key, value and reason; values that are mere defaults are left out."""
    rows = []
    for group, settings in config.model_dump().items():
        for name, value in settings.items():
            reason = reasons.get(f"{group}.{name}")
            if reason and reason != "default":
                shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
                rows.append((f"{group}.{name}", shown, reason))
    return rows
