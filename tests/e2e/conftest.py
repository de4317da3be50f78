"""The machines, archives and the first run of the playbook, which all tests share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import roots
from tests.e2e.playbook import Run
from tests.e2e.site import Site, booted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Machines are booted when they are asked for: it takes minutes, and root."""
    reason = "" if os.environ.get("SENSETIG_E2E") else "boots machines, which `make e2e` does"
    if not reason and os.geteuid() != 0:
        reason = "booting machines takes root"
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(2400))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def run() -> Iterator[Path]:
    """A folder on the disk that the cache is on; an overlay cannot be stacked on every other."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=roots.cache()))
    try:
        yield folder
    finally:
        log = folder / "playbooks.log"
        if log.exists():
            shutil.copy(log, roots.cache() / "playbooks.log")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def site(run: Path) -> Iterator[Site]:
    """The fleet, booted, before the playbook has seen it."""
    with booted(run) as fleet:
        yield fleet


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
