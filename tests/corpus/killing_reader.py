"""A reader for the tests of Ray: a file may say that the process that started the reader's process is to be killed."""

import os
import signal
from pathlib import Path

import marked_reader


def read(path, source, settings):
    word, _, flag = path.read_text("utf-8").partition(" ")
    if word == "kill-always" or (word == "kill-once" and not os.path.exists(flag)):
        if flag:
            Path(flag).touch()
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()  # until the kernel ends this process after its parent
    return marked_reader.read(path, source, settings)
