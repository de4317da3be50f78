"""Options of the tests."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# A busy machine makes an example slow, and no property wrong.
settings.register_profile("sensetig", deadline=None)
settings.load_profile("sensetig")

# A shell that runs the tests in the background leaves them deaf to Ctrl-C, and all that they start with them.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--regenerate`` writes what the golden cases print now into their expected output."""
    parser.addoption("--regenerate", action="store_true", help="write the expected output of the golden cases anew")
