"""Options of the tests, and how they are spread over processes."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes examples slow, and no property wrong. Each run tries the same examples, so that a failure
# comes from a change; `--hypothesis-profile explore` tries others.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("sensetig", settings.get_profile("explore"), derandomize=True)
# An emulated processor is ten to twenty times as slow.
settings.register_profile("emulated", settings.get_profile("sensetig"), max_examples=5)
settings.load_profile("sensetig")

# A shell that runs the tests in the background leaves them deaf to Ctrl-C, and all that they start with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Fixtures for one process alone, and the files in tests/integration whose tests use them: the demo takes most of a
#: minute and the engines' usual ports, and the emulator has one place for its files on a machine.
SHARED = {
    "demo": ("test_community_dashboards", "test_dashboard_targets", "test_demo"),
    "emulator_alone": ("test_joystick", "test_led", "test_sense_emu"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--regenerate``, which rewrites the expected output of the golden cases, and ``--serial``."""
    parser.addoption("--regenerate", action="store_true", help="rewrite the expected output of the golden cases")
    parser.addoption(
        "--serial",
        choices=("with", "without", "only"),
        default="with",
        help="run the tests marked serial with the others, not at all, or alone",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests by ``--serial``. Raises UsageError for a file that SHARED lacks."""
    for name, stems in SHARED.items():
        files = {item.path for item in items if name in getattr(item, "fixturenames", ())}
        if missing := sorted(path.name for path in files if path.stem not in stems):
            raise pytest.UsageError(f"{missing[0]} uses the fixture {name}; add it to SHARED in tests/conftest.py")
    wanted = config.getoption("--serial")
    if wanted == "with":
        return
    parts: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        parts[item.get_closest_marker("serial") is not None].append(item)
    config.hook.pytest_deselected(items=parts[wanted != "only"])
    items[:] = parts[wanted == "only"]


def together(nodeid: str) -> str:
    """Return the unit of work of a test: a shared fixture, or the test's file."""
    path = nodeid.split("::", 1)[0]
    folder, _, file = path.rpartition("/")
    if folder.endswith("integration"):
        return next((name for name, stems in SHARED.items() if file.removesuffix(".py") in stems), path)
    return path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, and files that share a fixture to the same process."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    return Together(config, log)
