"""How `make test` runs pytest: two calls with the same arguments; one failure fails the whole."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import conftest
from tests.__main__ import PARALLEL, SERIAL, main


@pytest.mark.parametrize(
    ("parallel", "serial", "status", "line"),
    [
        (0, 0, 0, "tests: parallel passed, serial passed"),
        (1, 0, 1, "tests: parallel FAILED, serial passed"),
        (0, 1, 1, "tests: parallel passed, serial FAILED"),
        (2, 1, 2, "tests: parallel FAILED, serial FAILED"),
        (0, 5, 0, "tests: parallel passed, serial no tests"),
        (5, 0, 0, "tests: parallel no tests, serial passed"),
        (5, 1, 1, "tests: parallel no tests, serial FAILED"),
        (5, 5, 5, "tests: parallel no tests, serial no tests"),
        (-9, 0, -9, "tests: parallel FAILED, serial passed"),
    ],
)
def test_both_calls_run_and_one_that_fails_fails_the_whole(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    parallel: int,
    serial: int,
    status: int,
    line: str,
) -> None:
    calls: list[Sequence[str]] = []

    def call(words: Sequence[str]) -> int:
        calls.append(words[3:])
        return serial if "--serial=only" in words else parallel

    monkeypatch.setattr(subprocess, "call", call)
    assert main(["tests/unit", "-k", "ports"]) == status
    assert calls == [[*PARALLEL, "tests/unit", "-k", "ports"], [*SERIAL, "tests/unit", "-k", "ports"]]
    assert capsys.readouterr().out.splitlines()[-1] == line


def test_ctrl_c_waits_for_pytest_and_begins_no_second_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []

    def call(words: Sequence[str]) -> int:
        signal.raise_signal(signal.SIGINT)
        ended.append(len(words))
        return 2

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(subprocess, "call", call)
    assert main([]) == 2
    assert len(ended) == 1, "the interrupt ended neither the wait nor the program"
    assert capsys.readouterr().out == "tests: parallel FAILED\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_files_that_share_a_fixture_are_one_unit_of_work_and_every_other_file_is_its_own() -> None:
    assert conftest.together("tests/integration/test_led.py::test_a[x::y/test_demo.py]") == "emulator_alone"
    assert conftest.together("tests/integration/test_demo.py::test_a") == "demo"
    assert conftest.together("tests/unit/test_demo.py::test_a") == "tests/unit/test_demo.py"


def test_the_files_that_share_a_fixture_are_there() -> None:
    folder = Path(conftest.__file__).parent / "integration"
    stems = [stem for stems in conftest.SHARED.values() for stem in stems]
    assert [stem for stem in stems if not (folder / f"{stem}.py").is_file()] == []
