"""Real engines for the tests: started once for the session, on loopback, in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from filelock import FileLock

from sensetig import bundle
from sensetig.demo.testbed import influxdb as local_influxdb
from sensetig.demo.testbed import ports, processes
from sensetig.engines import locate, os_packages
from sensetig.influxdb.prepare import setup
from tests.integration.dashboard_data import filled as filled


def errors_of(log: str) -> list[str]:
    """What Telegraf's log calls an error.

    Telegraf closes the pipe of a child and reads it side by side when it ends, and reports now and then that it was
    the first: no error of anybody's.
    """
    errors = [line for line in log.splitlines() if " E! " in line]
    return [line for line in errors if not line.endswith("read |0: file already closed")]


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
    """One InfluxDB for the session; each test writes separate series."""
    with prepared(influxd, tmp_path_factory.mktemp("influxdb")) as started:
        yield started


@contextmanager
def prepared(influxd: Path, folder: Path) -> Iterator[InfluxDB]:
    """A new InfluxDB, with buckets, tasks and tokens, and without a point."""
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
    """The folder of real recordings next to the checkout; without it, the test is skipped."""
    folder = bundle.root().parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings: {os.path.relpath(folder, bundle.root())} is not there")
    return folder


class Demo(NamedTuple):
    """A demo that ran for a while and has left its engines running: its summary, and how it ended."""

    summary: dict[str, Any]
    status: int
    output: str
    state: Path

    @property
    def read_token(self) -> str:
        """The token that Grafana reads with."""
        return Path(self.summary["influxdb"]["read_token_file"]).read_text().strip()


def run_demo(
    state: Path, *options: str, seconds: float = 600, environ: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run `sensetig demo` to its end in a separate process."""
    return subprocess.run(
        [sys.executable, "-m", "sensetig", "demo", "--state", str(state), *options],
        capture_output=True,
        text=True,
        env=dict(environ),
        timeout=seconds,
        check=False,
    )


@pytest.fixture(scope="session")
def demo(telegraf: Path, influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, once for the session, on the real recordings where they are there, and on simulations otherwise."""
    del telegraf, influxd  # requested so that a missing engine skips the test before the demo would build it
    folder = tmp_path_factory.mktemp("demo")
    data = bundle.root().parent / "shared" / "data"
    named = {
        "--recording": data / "sensehat" / "astro_pi_2015-08.csv.gz",
        "--video": data / "camera" / "pedestrians.avi",
    }
    sources = [word for option, file in named.items() if file.is_file() for word in (option, str(file))]
    report = folder / "summary.json"
    try:
        ran = run_demo(folder / "state", "--for", "40s", "--json", str(report), "--keep", *sources)
        if not report.is_file():
            pytest.fail(
                f"the demo wrote no summary (status {ran.returncode}):\n{ran.stdout}\n{ran.stderr}", pytrace=False
            )
        yield Demo(json.loads(report.read_text()), ran.returncode, ran.stdout + ran.stderr, folder / "state")
    finally:
        run_demo(folder / "state", "--stop")


@pytest.fixture(scope="module")
def emulator_alone() -> Iterator[None]:
    """Keep other runs of the tests on this machine from the Sense HAT emulator, which has one place for its files."""
    with FileLock(Path(tempfile.gettempdir(), "sensetig-tests-emulator.lock")):
        yield


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A browser, from the operating system's packages where it can be had; without one, the test is skipped."""
    # One process at a time, since apt does not wait for another that fetches the lists.
    with FileLock(Path(tempfile.gettempdir(), "sensetig-tests-apt.lock")):
        program = shutil.which("chromium")
        if program is None:
            try:
                os_packages.ensure(["chromium"], lambda sentence: print(sentence))
            except os_packages.PackagesMissing as missing:
                pytest.skip(f"no chromium on this machine to look at pages with: {missing}")
            program = shutil.which("chromium")
    assert program is not None, "the package chromium has brought no program of this name"
    return Path(program)
