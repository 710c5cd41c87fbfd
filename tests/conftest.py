"""What the tests of every room share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("quire", deadline=None)
hypothesis.settings.load_profile("quire")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real documents that QUIRE_TEST_DATA names."""
    folder = os.environ.get("QUIRE_TEST_DATA")
    if not folder:
        pytest.skip("QUIRE_TEST_DATA is not set")
    return Path(folder)
