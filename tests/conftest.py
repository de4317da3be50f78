"""Options of the tests, and how they are spread over processes."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import settings

# A busy machine makes an example slow, and no property wrong.
settings.register_profile("sensetig", deadline=None)
settings.load_profile("sensetig")

# A shell that runs the tests in the background leaves them deaf to Ctrl-C, and all that they start with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Fixtures that one process alone has: the demo takes most of a minute and the engines' usual ports, and the emulator
#: has one place for its files on a machine. All files with a test that uses such a fixture run in one process.
SHARED = ("demo", "emulator_alone")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--regenerate``, which rewrites the expected output of the golden cases, and ``--serial``."""
    parser.addoption("--regenerate", action="store_true", help="write the expected output of the golden cases anew")
    parser.addoption(
        "--serial",
        choices=("with", "without", "only"),
        default="with",
        help="run the tests marked serial with the others, not at all, or alone",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests by ``--serial``, and keep the files together that share what there is once on a machine."""
    wanted = config.getoption("--serial")
    if wanted != "with":
        chosen = [item for item in items if (item.get_closest_marker("serial") is not None) == (wanted == "only")]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for name in SHARED:
        files = {item.path for item in items if name in getattr(item, "fixturenames", ())}
        for item in items:
            if item.path in files:
                item.add_marker(pytest.mark.xdist_group(name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, and files of one group to the same process."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class ByFileOrGroup(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            scope: str = super()._split_scope(nodeid)
            return nodeid.split("::", 1)[0] if scope == nodeid else scope

    return ByFileOrGroup(config, log)
