"""Real engines for the tests: started once for the session, on loopback, in a temporary folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sensetig import bundle
from sensetig.engines import locate
from sensetig.influx import setup
from sensetig.local import influxdb as local_influxdb
from sensetig.local import ports, processes


def _program(name: str) -> Path:
    """An engine that `make engines` has got; its absence is a failure of the set-up, never a skipped test."""
    engine = locate(name)
    if engine is None:
        pytest.fail(f"{name} is not there: run `make engines` first", pytrace=False)
    return engine.path


@pytest.fixture(scope="session")
def telegraf() -> Path:
    """The Telegraf binary."""
    return _program("telegraf")


@pytest.fixture(scope="session")
def influxd() -> Path:
    """The InfluxDB binary."""
    return _program("influxd")


class InfluxDB(NamedTuple):
    """A running InfluxDB that sensetig's own setup has prepared."""

    url: str
    org: str
    operator_token: str
    write_token: str
    read_token: str
    raw: str = "raw"
    hourly: str = "hourly"


@pytest.fixture(scope="session")
def influxdb(influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """One InfluxDB for the session; each test writes series of its own."""
    folder = tmp_path_factory.mktemp("influxdb")
    identity, url = local_influxdb.start(influxd, folder / "data", ports.any_free(), folder / "influxd.log")
    try:
        outcome = setup(
            url,
            organisation="sensetig",
            user="sensetig",
            tokens=folder / "tokens",
            definitions=bundle.root() / "influxdb",
            say=lambda _: None,
        )
        yield InfluxDB(
            url,
            outcome.organisation,
            outcome.tokens.operator,
            outcome.tokens.telegraf,
            outcome.tokens.grafana,
        )
    finally:
        processes.stop([identity])


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings beside the checkout; without it, the test is skipped."""
    folder = bundle.root().parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings: {os.path.relpath(folder, bundle.root())} is not there")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A browser; without one, the test is skipped."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine: install the package chromium to look at the dashboards in a browser")
    return Path(program)
