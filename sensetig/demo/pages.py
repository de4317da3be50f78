"""The demo without Grafana: a report of its minutes, opened in a browser."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click

from sensetig.demo.run import Running
from sensetig.errors import OperatorError
from sensetig.report.maker import short_report

#: Seconds after the start at which a report is made in a terminal: earlier its charts would have few points.
REPORT_SECONDS = 30.0


def write(running: Running, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Write the report and say where it is; a demo goes on without one that cannot be made."""
    say("there is no Grafana: making the report of these minutes")
    try:
        begin, now = running.started.astimezone(), datetime.now().astimezone()
        pages = short_report(running.influxdb_url, running.read_token, folder, begin, now)
    except OperatorError as error:
        say(f"going on without the report: {error}")
        return []
    for page in pages:
        say(f"the report: {page}")
    return pages


def open_in_browser(page: Path) -> None:
    """Hand a page to the desktop, if there is one: a browser in the terminal would hide the demo."""
    if os.name != "posix" or os.uname().sysname == "Darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        click.launch(page.as_uri())
