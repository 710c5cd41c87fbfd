"""How the threads of a computation wait for one another, which is settled before torch is loaded.

A step of training is a thousand short pieces of work, each divided among the threads. A thread that is done first waits
for the others by asking again and again (some 300,000 times, GNU's OpenMP library says), because falling asleep and
waking up costs more. That is right on a machine that has nothing else to do. Where another program needs a core, the
thread that asks keeps the one it waits for from running.

Source: the manual of GNU libgomp, GOMP_SPINCOUNT and OMP_WAIT_POLICY.
"""

from __future__ import annotations

import os
import sys

import psutil  # type: ignore[import-untyped,unused-ignore]

LOOK_SECONDS = 0.25
BUSY_CORES = 0.25
"""Others use the machine where they take more than so many of its cores."""
SHORT_WAIT = "1000"
"""How often a thread asks before it sleeps, where they do."""
SET_BY_USER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def wait_kindly() -> str | None:
    """Let threads that wait give their cores away where other programs need them; return what to tell the user.

    The environment of this process is changed, and torch reads it when it is loaded: later it has no effect. What the
    user has set stays.
    """
    if "torch" in sys.modules or any(name in os.environ for name in SET_BY_USER):
        return None
    busy = psutil.cpu_percent(LOOK_SECONDS) / 100 * (psutil.cpu_count() or 1)
    if busy < BUSY_CORES:
        return None
    os.environ["GOMP_SPINCOUNT"] = SHORT_WAIT
    return f"Other programs use {busy:.1f} of the {psutil.cpu_count()} cores: training gets what they leave"
