"""Options of the tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine makes an example slow, and no property wrong.
settings.register_profile("sensetig", deadline=None)
settings.load_profile("sensetig")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--regenerate`` writes what the golden cases print now into their expected output."""
    parser.addoption("--regenerate", action="store_true", help="write the expected output of the golden cases anew")
