"""The demo in a terminal: the page without a Grafana, and the engines that --keep leaves after Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import psutil
import pytest
import urllib3

from sensetig.engines import locate
from tests.integration.conftest import run_demo

pytestmark = pytest.mark.engines

#: Makes the terminal that it was given its controlling one, so that Ctrl-C reaches it, and becomes the demo.
_IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "sensetig", *sys.argv[1:]])
"""


class Terminal:
    """A program in a separate terminal, and its output."""

    def __init__(self, master: int, child: Popen[bytes]) -> None:
        self._master = master
        self.child = child
        self.printed = ""

    def read_until(self, sign: str) -> re.Match[str]:
        """Read until a pattern was printed. Fails where the program ends first; the test's time bounds it."""
        while (match := re.search(sign, self.printed)) is None:
            if not self._read():
                pytest.fail(f"the demo ended without {sign!r}:\n{self.printed}", pytrace=False)
        return match

    def read_all(self) -> str:
        """Read until the program has ended."""
        while self._read():
            pass
        return self.printed

    def press_ctrl_c(self) -> None:
        """Ctrl-C."""
        os.write(self._master, b"\x03")

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the terminal has been closed
            data = b""
        self.printed += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode(errors="replace"))
        return bool(data)


@contextmanager
def in_terminal(state: Path, *options: str) -> Iterator[Terminal]:
    """The demo in a terminal; ended, with its engines, in any case."""
    master, slave = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    # The height of a new window: what does not fit into it is not shown.
    environ |= {"TERM": "xterm", "COLUMNS": "200", "LINES": "24", "GRAFANA_HOME": ""}
    child = Popen(
        [sys.executable, "-c", _IN_TERMINAL, "demo", "--state", str(state), *options],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environ,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(master, child)
    finally:
        child.kill()
        child.wait()
        os.close(master)
        run_demo(state, "--stop")


@pytest.fixture
def engines(tmp_path: Path, telegraf: Path, influxd: Path) -> Callable[[], list[psutil.Process]]:
    """The engines that the state folder names."""
    del telegraf, influxd  # their absence is reported before the demo would build them
    file = tmp_path / "state/running.json"
    return lambda: [psutil.Process(pid) for _, pid, _ in json.loads(file.read_text())]


def test_ctrl_c_in_a_terminal_leaves_the_engines_that_keep_asks_for(
    tmp_path: Path, engines: Callable[[], list[psutil.Process]]
) -> None:
    state = tmp_path / "state"
    with in_terminal(state, "--keep") as demo:
        demo.read_until("token to read")
        demo.press_ctrl_c()
        assert "the engines are left running" in demo.read_all()
        assert demo.child.wait() == 0, demo.printed
        running = engines()
        assert len(running) >= 2
        assert all(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in running)
        assert run_demo(state, "--stop").returncode == 0
        assert not psutil.wait_procs(running, timeout=120)[1]


def test_without_a_grafana_the_terminal_shows_the_address_of_a_page_with_charts(
    tmp_path: Path, engines: Callable[[], list[psutil.Process]]
) -> None:
    if locate("grafana") is not None:
        pytest.skip("there is a Grafana on this machine, which the demo uses")
    with in_terminal(tmp_path / "state") as demo:
        url = demo.read_until(r"there is no Grafana: .* at (http://127\.0\.0\.1:\d+/)")[1]
        demo.read_until("token to read")
        # As a browser does: ask again after the time that the answer names, until there are points, and they are drawn.
        while (answer := urllib3.request("GET", url, retries=False)).status == 503:
            time.sleep(int(answer.headers["Refresh"]))
        assert answer.status == 200
        assert int(answer.headers["Refresh"]) > 0
        text = answer.data.decode()
        assert text.count("<svg") >= 5
        assert "SenseTIG report" in text
        running = engines()
        demo.press_ctrl_c()
        assert "stopping the engines" in demo.read_all()
        assert demo.child.wait() == 0, demo.printed
        assert not psutil.wait_procs(running, timeout=120)[1]
