"""Golden cases: their format, and the comparison of their output.

A case is a folder ``tests/cases/<collector>/<case>/`` with ``case.toml`` in it::

    arguments = ["--sys-root", "sys"]  # after the collector's name; the case's folder is the working directory
    environment = { SENSETIG_PI_VCGENCMD = "./vcgencmd" }
    requests = 2                       # lines on stdin of a run with --execd; without it, one batch is collected
    stdin = "telemetry.influx"         # a file of the case that is the standard input of a run without --execd
    status = 0                         # the exit status
    needs = ["cv2"]                    # Python modules without which the case is skipped

``settings.toml`` in the same folder is the settings file of the run. In an argument or in the environment, ``{data}``
is the folder of the recordings (the case is skipped if it is missing), and ``{tree}`` a new folder with the files of
the case's ``tree.txt`` (see tests/trees.py). ``expected.out`` is the collector's output, and ``expected.err``, which is
absent if there is none, its errors.

Values that differ between runs are written as ``*`` by the patterns of ``volatile.toml``: ``measurement/name`` for the
value of a tag or a field, ``measurement/time`` for the time, each with the wildcards of fnmatch. A line with masked
tags matches all lines that are equal once masked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from collectors.core.line_protocol import FieldValue, Metric, Series, encode
from tests.trees import plant

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "tests" / "cases"
DATA = ROOT.parent / "shared" / "data"

#: A case that has not ended by then has hung.
TIMEOUT_SECONDS = 240

_KEYS = {"arguments", "environment", "requests", "stdin", "status", "needs"}


class Case(NamedTuple):
    """One golden case; see the module's docstring for its file."""

    folder: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    requests: int | None
    status: int
    needs: tuple[str, ...]
    stdin: str | None = None

    @property
    def collector(self) -> str:
        """The collector that the case runs."""
        return self.folder.parent.name

    @property
    def label(self) -> str:
        """How the case is called in a list of tests."""
        return f"{self.collector}/{self.folder.name}"

    @property
    def wants_data(self) -> bool:
        """Whether it reads a recording."""
        return any("{data}" in text for text in (*self.arguments, *self.environment.values()))


class Outcome(NamedTuple):
    """The output and exit status of a run."""

    out: str
    err: str
    status: int


def read_case(folder: Path) -> Case:
    """The case in a folder. Raises ValueError naming the file for a key that no case has."""
    file = folder / "case.toml"
    document: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    if unknown := sorted(set(document) - _KEYS):
        raise ValueError(f"{file}: unknown key {', '.join(unknown)}; a case has {', '.join(sorted(_KEYS))}")
    return Case(
        folder,
        tuple(document.get("arguments", ())),
        document.get("environment", {}),
        document.get("requests"),
        document.get("status", 0),
        tuple(document.get("needs", ())),
        document.get("stdin"),
    )


def find_cases(cases: Path = CASES) -> list[Case]:
    """Every case below a folder, sorted by name."""
    return [read_case(file.parent) for file in sorted(cases.glob("*/*/case.toml"))]


def read_volatile(collector: str, file: Path = CASES / "volatile.toml") -> tuple[str, ...]:
    """The patterns of what differs from run to run in this collector's lines: the common ones and its own."""
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    return (*document["common"], *document.get(collector, ()))


def prepare(case: Case, scratch: Path) -> tuple[list[str], dict[str, str]]:
    """The case's arguments, and an environment with its settings and with none of this machine.

    Args:
        scratch: an empty folder, which gets the case's tree.
    """
    if (case.folder / "tree.txt").exists():
        plant((case.folder / "tree.txt").read_text(encoding="utf-8"), scratch)
    places = {"{data}": str(DATA), "{tree}": str(scratch)}
    settings = case.folder / "settings.toml"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    environment["SENSETIG_SETTINGS"] = "settings.toml" if settings.exists() else os.devnull
    environment["PYTHONPATH"] = str(ROOT)
    environment.update({name: _replace(value, places) for name, value in case.environment.items()})
    return [_replace(text, places) for text in case.arguments], environment


def run(case: Case, scratch: Path) -> Outcome:
    """Run the case's collector in a separate process.

    Args:
        scratch: an empty folder for the case's tree.
    """
    arguments, environment = prepare(case, scratch)
    command = [sys.executable, "-m", "collectors", case.collector, *arguments]
    if case.requests is not None:
        command.append("--execd")
    done = subprocess.run(
        command,
        cwd=case.folder,
        env=environment,
        # As bytes: what ends a line is for the collector to say.
        input=b"\n" * (case.requests or 0) if case.stdin is None else (case.folder / case.stdin).read_bytes(),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    said = done.stderr.decode().replace(str(scratch), "{tree}")
    return Outcome(done.stdout.decode(), _portable(said), done.returncode)


def mask(metrics: Sequence[Metric], patterns: Sequence[str]) -> Iterator[str]:
    """The metrics as lines, with ``*`` for each value that a pattern names."""
    seen: set[str] = set()
    for metric in metrics:
        measurement = metric.series.measurement
        volatile_tags = [tag for tag in metric.series.tags if _volatile(measurement, tag, patterns)]
        series = Series(measurement, {**metric.series.tags, **dict.fromkeys(volatile_tags, "*")})
        values = [
            _one(key, 0).removesuffix("0i") + "*" if _volatile(measurement, key, patterns) else _one(key, value)
            for key, value in metric.fields.items()
        ]
        time = "*" if _volatile(measurement, "time", patterns) else metric.time_ns
        line = f"{series.prefix}{','.join(values)} {time}"
        if not volatile_tags or line not in seen:
            seen.add(line)
            yield _portable(line)


def _one(key: str, value: FieldValue) -> str:
    """One field in line protocol."""
    series = Series("one")
    return encode(Metric(series, {key: value})).removeprefix(series.prefix)


def _volatile(measurement: str, name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(f"{measurement}/{name}", pattern) for pattern in patterns)


def _replace(text: str, places: Mapping[str, str]) -> str:
    for mark, place in places.items():
        text = text.replace(mark, place)
    return text


def _portable(text: str) -> str:
    return text.replace(str(DATA), "{data}").replace(str(ROOT), "{root}")
