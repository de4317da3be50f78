"""The machines, archives and the first run of the playbook, which all tests share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e import podman, probe, roots
from tests.e2e.playbook import Run
from tests.e2e.site import FLEET, Site, booted

#: The order of the files: the first installs the fleet, and the last removes it. Those between with one machine only
#: have a separate network.
ORDER = (
    "fleet",
    "inside_the_unit",
    "services",
    "commands",
    "trust",
    "own_certificate",
    "life",
    "bad_input",
    "standalone",
    "install",
    "tutorials",
    "teardown",
    "containers",
)


@contextmanager
def folder_of_run(log: str) -> Iterator[Path]:
    """A folder for one run, whose log of playbooks is kept in the cache under that name."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=roots.cache()))
    try:
        yield folder
    finally:
        told = folder / "playbooks.log"
        if told.exists():
            shutil.copy(told, roots.cache() / log)
        shutil.rmtree(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Machines are booted when they are asked for: it takes minutes, and root."""
    here = Path(__file__).parent
    ours = [item for item in items if here in item.path.parents]
    if not ours:
        return
    asked = bool(os.environ.get("SENSETIG_E2E"))
    reasons: dict[bool, str] = {}
    for item in ours:
        item.add_marker(pytest.mark.timeout(2400))
        contained = item.path.stem == "test_containers"
        if contained not in reasons:
            reasons[contained] = _obstacle(contained) if asked else "boots machines, which `make e2e` does"
        if reasons[contained]:
            item.add_marker(pytest.mark.skip(reason=reasons[contained]))
    unknown = {item.path.name for item in ours if item.path.stem.removeprefix("test_") not in ORDER}
    if unknown:
        raise pytest.UsageError(f"{', '.join(sorted(unknown))} has no place in the order of tests/e2e/conftest.py")
    places = [place for place, item in enumerate(items) if here in item.path.parents]
    ours.sort(key=lambda item: ORDER.index(item.path.stem.removeprefix("test_")))
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def _obstacle(contained: bool) -> str:
    if contained:
        return podman.obstacle()
    return probe.obstacle(sorted({suite for _, _, suite in FLEET}), datetime.now(UTC).date())


@pytest.fixture(scope="session")
def run() -> Iterator[Path]:
    """A folder on the disk that the cache is on; an overlay cannot be stacked on every other."""
    with folder_of_run("playbooks.log") as folder:
        yield folder


@pytest.fixture(scope="session")
def site(run: Path) -> Iterator[Site]:
    """The fleet, booted, before the playbook has seen it."""
    with booted(run) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def alone() -> Iterator[Site]:
    """One machine that is hub and edge at once, booted, before the playbook has seen it."""
    with folder_of_run("playbooks-alone.log") as folder, booted(folder, [("solo", "standalone", "trixie")]) as machine:
        yield machine


@pytest.fixture(scope="session")
def checked(site: Site) -> Run:
    """The playbook in check mode, on machines that it has never seen."""
    return site.play("site.yml", "--check", "--diff")


@pytest.fixture(scope="session")
def installed(site: Site, checked: Run) -> Run:
    """The first run of the playbook."""
    del checked  # it comes first, since it is about fresh machines
    first = site.play()
    assert first.status == 0, first.output[-6000:]
    return first
