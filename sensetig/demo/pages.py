"""The demo without Grafana: a report on its minutes, as a file, or as a page that refreshes itself in a browser."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import click

from sensetig.demo.run import Running
from sensetig.errors import OperatorError, ReportError
from sensetig.influxdb.client import Client
from sensetig.report.devices import hosts
from sensetig.report.maker import NoData, Wanted, make, short_period, short_report

#: The page shows at most this period, so that the time to draw it does not grow with the age of the demo.
PAGE_MINUTES = 30


def write(running: Running, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Write the report and print its path; a failed report does not end the demo."""
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


def draw(running: Running) -> Callable[[], bytes]:
    """A function that draws the page of the last minutes; it raises OperatorError, also before the first data."""

    def drawn() -> bytes:
        now = datetime.now().astimezone()
        begin = max(running.started.astimezone(), now - timedelta(minutes=PAGE_MINUTES))
        with Client(running.influxdb_url, running.read_token) as client:
            devices = hosts(client)
            here = socket.gethostname()
            ordered = sorted(devices, key=lambda each: each != here)
            for device in ordered:
                try:
                    return make(client, Wanted(device, short_period(begin, now)), now).content
                except NoData:
                    continue  # a device of an earlier demo, whose data is still in the folder
        raise ReportError("no point has arrived yet")

    return drawn


def open_in_browser(url: str) -> None:
    """Open a page in the desktop's browser, if there is a desktop: a text browser would hide the demo."""
    if os.name != "posix" or os.uname().sysname == "Darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        click.launch(url)
