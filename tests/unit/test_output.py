"""The commands' output on terminals without UTF-8, on a full disk, and into a pipe whose reader has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from tests.golden import ROOT

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}

#: Prints a line each with click, rich and print, then more than any buffer holds.
_COMMAND = r"""
import click
from rich.console import Console
from sensetig.__main__ import main

@main.command("show")
@click.option("--lines", default=1)
def show(lines):
    for _ in range(lines):
        click.echo("click \u25cf")
        Console(soft_wrap=True).print("rich \u25cf")
        print("print \u25cf")

main.list_commands = lambda ctx: ["show"]
main.get_command = lambda ctx, name: show
main(prog_name="sensetig")
"""


def run(
    *arguments: str, stdout: int = subprocess.PIPE, extra: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **extra},
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("-c", _COMMAND, "show"), ("-m", "sensetig", "--help")])
def test_a_terminal_without_utf_8_gets_the_text(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, extra=ASCII)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") >= 3


@pytest.mark.parametrize("lines", ["1", "20000"])
def test_a_full_disk_is_one_sentence_and_status_1(lines: str) -> None:
    with open("/dev/full", "wb") as full:
        done = run("-c", _COMMAND, "show", "--lines", lines, stdout=full.fileno())
    assert done.returncode == 1
    assert done.stderr == b"Error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", [("--help",), ("simulate", "--help"), ("--version",)])
def test_a_full_disk_for_help_is_one_sentence(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = run("-m", "sensetig", *arguments, stdout=full.fileno())
    assert done.returncode == 1
    assert done.stderr == b"Error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("lines", ["1", "20000"])
def test_a_reader_that_has_gone_gets_no_traceback(lines: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run("-c", _COMMAND, "show", "--lines", lines, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_status_of_a_command_stays() -> None:
    done = run("-m", "sensetig", "no-such-command")
    assert done.returncode == 2
    assert b"no-such-command" in done.stderr
