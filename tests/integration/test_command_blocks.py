"""The commands of the documentation that have no marker, run page by page on a new InfluxDB in a copy of the checkout.

tests/unit/test_command_blocks.py holds that every other block says which test runs it, or why none does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest

from sensetig.demo.testbed import influxdb as local_influxdb
from sensetig.demo.testbed import ports, processes
from tests.blocks import COMMANDS, Block, blocks
from tests.golden import ROOT

#: So that a command that waits for something ends the test; none takes more than a few seconds.
_BOUND_SECONDS = 600

_PAGES = {
    page: list(found)
    for page, found in groupby(
        (block for block in blocks() if block.language in COMMANDS and not block.marker), lambda block: block.page
    )
}

_LINES = "environment,device=hall,sensor=dht22 temperature_raw_celsius=21.5 1795260000000000000\n"


class Place(NamedTuple):
    """Where the commands run.

    Args:
        folder: the working directory, with links to the contents of the checkout.
        environment: with the engines and the environment's programs on PATH.
        replaced: addresses and folders of an installation, with their replacements here.
    """

    folder: Path
    environment: dict[str, str]
    replaced: dict[str, str]


@pytest.fixture(scope="module")
def place(influxd: Path, telegraf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("commands")
    checkout = folder / "checkout"
    checkout.mkdir()
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name != "dist":
            (checkout / path.name).symlink_to(path)
    (checkout / "lines.influx").write_text(_LINES, encoding="utf-8")
    (folder / "etc").mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    programs = (Path(sys.executable).parent, telegraf.parent)
    environment = {
        **clean,
        "PATH": os.pathsep.join([*map(str, programs), clean.get("PATH", os.defpath)]),
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "SENSETIG_SETTINGS": os.devnull,
        "SENSETIG_TELEGRAF_TOKEN": "none",
    }
    identity, url = local_influxdb.start(influxd, folder / "data", ports.any_free(), folder / "influxd.log")
    try:
        yield Place(checkout, environment, {"http://127.0.0.1:8086": url, "/etc/sensetig": str(folder / "etc")})
    finally:
        processes.stop([identity])


def run(block: Block, place: Place) -> str:
    """Run a block's commands, and return their output."""
    script = block.commands
    for written, here in place.replaced.items():
        script = script.replace(written, here)
    _write_shown_files(block, place.folder)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place.folder, env=place.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=_BOUND_SECONDS, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{block.name}\n{script}{ran.stdout}"
    return ran.stdout


def _write_shown_files(block: Block, folder: Path) -> None:
    """Write the files whose content a block shows by ``$ cat FILE``."""
    lines = iter(block.content.splitlines())
    file: Path | None = None
    for line in lines:
        if line.startswith("$ "):
            file = folder / line.removeprefix("$ cat ") if line.startswith("$ cat ") else None
            if file is not None:
                file.write_text("", encoding="utf-8")
        elif file is not None:
            with file.open("a", encoding="utf-8") as written:
                written.write(f"{line}\n")


def _plain(text: str) -> list[str]:
    """The lines of an output, with each number replaced, since times and counts differ from run to run."""
    return [re.sub(r"-?\d[\d.,]*(?:e-\d+)?", "#", " ".join(line.split())) for line in text.splitlines()]


def not_printed(block: Block, printed: str, place: Place) -> list[str]:
    """The lines that a block shows and its commands have not printed."""
    if block.language != "console":
        return []
    for written, here in place.replaced.items():
        printed = printed.replace(here, written)
    commands = block.commands.splitlines()
    shown = [line for line in block.content.splitlines() if line.removeprefix("$ ") not in commands and "…" not in line]
    found = "\n".join(_plain(printed))
    return [line for line in _plain("\n".join(shown)) if line not in found]


@pytest.mark.parametrize("page", _PAGES)
def test_the_commands_of_a_page_run_in_their_order(page: str, place: Place) -> None:
    for block in _PAGES[page]:
        printed = run(block, place)
        print(f"{block.name}\n{printed}")
        assert not_printed(block, printed, place) == []


def test_there_are_commands_to_run() -> None:
    assert len(_PAGES) > 8
