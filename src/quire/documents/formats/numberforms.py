"""Number formats of spreadsheets: what a cell shows for the number that it holds."""

from __future__ import annotations

import datetime
import functools
import math
import re
from decimal import Decimal

BUILT_IN = {
    9: "0%",
    10: "0.00%",
    14: "yyyy-mm-dd",
    **dict.fromkeys((15, 16, 17, 27, 28, 29, 30, 31, 36, 50, 51, 52, 53, 54, 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((18, 20, 32, 34), "h:mm"),
    **dict.fromkeys((19, 21, 33, 35), "h:mm:ss"),
    22: "yyyy-mm-dd h:mm",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss.0",
}
"""Formats that a file names by number alone (ECMA-376, part 1, 18.8.30), as far as they show no plain number."""

LAST_DAY = 2_958_465
"""The serial number of 9999-12-31."""

_EXPONENT_FROM = 1e21
_NOT_NOISE = 12  # digits; the noise of one sum is in the 16th and 17th, that of a thousand reaches the 13th
_LONG_INTEGER = re.compile(r"-?[1-9]\d{15,}")  # floats of that size are not every integer
_DIGITS = re.compile(r"[-.]")
_QUOTED = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_DAY = re.compile(r"[yd]|mmm|general年|e", re.IGNORECASE)
_TIME = re.compile(r"[hs]|am/pm", re.IGNORECASE)


@functools.lru_cache(maxsize=1024)
def form_of(code: str) -> str:
    """Return what a format code shows: "date", "time", "moment" (both), "duration", "percent" or "number"."""
    plain = _QUOTED.sub("", code.split(";", maxsplit=1)[0])
    if re.search(r"\[(h+|m+|s+)\]", plain, re.IGNORECASE):
        return "duration"
    if "general" in plain.lower() or re.search(r"[0#?]e[+-]", plain, re.IGNORECASE):
        return "number"
    has_day, has_time = _DAY.search(plain) is not None, _TIME.search(plain) is not None
    if has_day and has_time:
        return "moment"
    if has_day or has_time:
        return "date" if has_day else "time"
    if re.fullmatch(r"\s*m{1,5}\s*", plain, re.IGNORECASE):
        return "date"
    return "percent" if "%" in plain else "number"


def shown(value: str, code: str, *, since_1904: bool = False) -> str:
    """Return a number of a cell as a reader would see it: dates in ISO 8601, percents with their sign.

    Other numbers keep the digits that the file has, all of an integer and up to 17 of a fraction; but a fraction loses
    what only the binary notation added, 0.1 + 0.2 is 0.3: where 12 digits are left of it when it is rounded to 15.
    """
    try:
        amount = float(value)
    except ValueError:
        return value
    if not math.isfinite(amount):
        return value
    form = form_of(code)
    if form in ("date", "time", "moment") and 0 <= amount <= LAST_DAY:
        return _moment(amount, form, since_1904)
    if form == "duration":
        seconds = round(abs(amount) * 86400)
        sign = "-" if amount < 0 else ""
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if form == "percent":
        return f"{_plain(amount * 100, _decimals(code))}%"
    return value if _LONG_INTEGER.fullmatch(value) else _plain(amount, _fixed(code))


@functools.lru_cache(maxsize=1024)
def _fixed(code: str) -> int | None:
    """Return how many decimals a plain format shows; None for one that shows as many as there are."""
    return _decimals(code) if re.fullmatch(r"[#,]*0(\.0+)?", code) else None


def _decimals(code: str) -> int:
    match = re.search(r"\.([0#?]+)", code.split(";", maxsplit=1)[0])
    return len(match[1]) if match else 0


def _plain(amount: float, decimals: int | None) -> str:
    if decimals is not None and abs(amount) < 1e15:
        return f"{amount:.{min(decimals, 15)}f}"
    if amount == int(amount) and abs(amount) < _EXPONENT_FROM:
        return str(int(amount)) if abs(amount) < 1e15 else str(int(Decimal(repr(amount))))
    exact = repr(amount)
    if len(exact) <= 16 or abs(amount) >= 1e15:  # a point and 15 digits, of which none is noise
        return exact
    rounded = f"{amount:.15g}"
    is_noise = len(_DIGITS.sub("", rounded.partition("e")[0]).lstrip("0")) <= _NOT_NOISE
    return rounded if is_noise else exact


def _moment(amount: float, form: str, since_1904: bool) -> str:
    days, seconds = divmod(round(amount * 86400), 86400)
    time = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}" + (f":{seconds % 60:02d}" if seconds % 60 else "")
    if form == "time":
        return time
    if since_1904:
        epoch = datetime.date(1904, 1, 1)
    else:  # Lotus 1-2-3 thought that 1900 was a leap year, and its day 60 is kept to this day
        epoch = datetime.date(1899, 12, 30) if days >= 60 else datetime.date(1899, 12, 31)
    try:
        day = (epoch + datetime.timedelta(days=days)).isoformat()
    except OverflowError:
        return f"{amount:.15g}"
    return f"{day} {time}" if form == "moment" else day
