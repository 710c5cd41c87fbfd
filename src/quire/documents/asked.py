"""Which settings a reading depends on: those that its reader asked for, and no others.

Readers are deterministic. Under other settings that give the same answers to all that was asked, a reader would ask the
same and give the same; so a reading may be kept as long as those answers stay.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import SecretStr

from quire.documents.settings import READERS_VERSION, WITHOUT_EFFECT, ReadSettings

_NAMES = tuple(sorted(ReadSettings.model_fields.keys() - WITHOUT_EFFECT))

Asked = str
"""What was asked, as JSON: by name of the setting, null for its value, or the [least, most] that the limit may be."""

EVERYTHING: Asked = json.dumps(dict.fromkeys(_NAMES))
"""What a reading may have asked whose reader ended without telling."""


class WatchedSettings:
    """Settings that remember what they are asked for, to be given to a reader in their place.

    Args:
        settings: that answer.
    """

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings
        self._values: set[str] = set()
        self._bounds: dict[str, tuple[int | None, int | None]] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        if name in ReadSettings.model_fields:
            self._values.add(name)
            self.__dict__[name] = value  # once asked is enough
        else:  # a method, which may look at any of them
            self._values.update(_NAMES)
        return value

    def exceeded(self, limit: str, count: int) -> bool:
        """Return what `ReadSettings.exceeded` does; any limit on the same side of `count` would be answered so too."""
        answer = self._settings.exceeded(limit, count)
        least, most = self._bounds.get(limit, (None, None))
        if answer:
            most = count - 1 if most is None else min(most, count - 1)
        else:
            least = count if least is None else max(least, count)
        self._bounds[limit] = least, most
        return answer

    @property
    def asked(self) -> Asked:
        """What was asked so far."""
        values: dict[str, Any] = dict.fromkeys(self._values - WITHOUT_EFFECT)
        return json.dumps(dict(sorted({**self._bounds, **values}.items())))


def answers(asked: Asked, settings: ReadSettings) -> str | None:
    """Return a hash, in hexadecimal, of what `settings` answer; None where a limit is not where it has to be.

    Two settings that give the same hash give the same reading of a file whose reader asked that.
    """
    told: dict[str, Any] = {"readers": READERS_VERSION}
    for name, bounds in json.loads(asked).items():
        value = getattr(settings, name)
        if bounds is not None:
            least, most = bounds
            if (least is not None and value < least) or (most is not None and value > most):
                return None
            told[name] = [least is not None, most is not None]  # which side of it, and not of what
        else:
            told[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
