"""A reader for the tests of the pool: each task is a word that says how to end."""

import ctypes
import os
import signal
import sys
import time

from quire.documents.sandbox import note, page_done

ballast = []


def read(task):
    word, _, argument = task.partition(":")
    if word == "segfault":
        ctypes.string_at(0)
    elif word == "exit":
        os._exit(int(argument))
    elif word == "abort":
        print("the library said why", file=sys.stderr, flush=True)
        os.abort()
    elif word == "hang":
        while True:
            pass
    elif word == "hang-deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    elif word == "eat":
        while True:
            ballast.append(bytearray(b"x") * 20_000_000)
    elif word == "raise":
        raise ValueError(argument)
    elif word == "noted-crash":
        note(sha256=argument)
        os._exit(9)
    elif word == "pages":
        for _ in range(int(argument)):
            deadline = time.monotonic() + 0.4
            while time.monotonic() < deadline:
                pass
            page_done()
    elif word == "pages-then-hang":
        for _ in range(int(argument)):
            page_done()
        while True:
            pass
    elif word == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    elif word == "keep":
        ballast.append(bytearray(b"x") * int(argument))
    elif word == "print":
        print("noise")
    elif word == "big":
        return "x" * int(argument)
    elif word == "unpicklable":
        return lambda: None
    return f"{word} read by {os.getpid()}"
