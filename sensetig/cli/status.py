"""``sensetig status``: the state of the fleet in the terminal."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensetig import options, policy
from sensetig.options import Duration

if TYPE_CHECKING:
    from sensetig.fleet.devices import Judged, Limits
    from sensetig.influxdb.client import Client

#: The exit status if a device needs action; 1 is a failed query, 2 an invalid option.
NEEDS_ACTION = 3


@click.command()
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.option(
    "--interval",
    type=Duration(),
    default="5s",
    show_default=True,
    show_envvar=True,
    help="With --watch: time between refreshes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option(
    "--late",
    type=Duration(),
    default=f"{policy.LATE_SECONDS}s",
    show_default=True,
    show_envvar=True,
    help=f"Late after this silence, or {policy.LATE_INTERVALS} intervals of the device, whichever is longer.",
)
@click.option(
    "--offline",
    type=Duration(),
    default=f"{policy.OFFLINE_SECONDS // 60}m",
    show_default=True,
    show_envvar=True,
    help=f"Offline after this silence, or {policy.OFFLINE_INTERVALS} intervals of the device, whichever is longer.",
)
@click.option(
    "--since",
    type=Duration(),
    default=f"{policy.FORGOTTEN_DAYS}d",
    show_default=True,
    show_envvar=True,
    help="Leave out devices that have been silent for longer.",
)
@options.influxdb_url
@options.token_file
@options.ca_file
def command(
    watch: bool,
    interval: float,
    as_json: bool,
    late: float,
    offline: float,
    since: float,
    url: str,
    token_file: Path,
    ca_file: Path | None,
) -> None:
    """Show device status, most urgent first.

    The exit status is 0 when no device needs action, 3 when one does, and 1 when InfluxDB cannot be queried.
    """
    from sensetig.errors import ReportError
    from sensetig.fleet.devices import Limits
    from sensetig.influxdb.client import Client

    if watch and as_json:
        raise click.UsageError("--watch and --json exclude each other")
    if late > offline:
        raise click.UsageError("--late must not be longer than --offline")
    client = Client.with_token_file(url, token_file, ca_file=ca_file)
    limits = Limits(late, offline)
    devices = _watch(client, limits, since, interval) if watch else _fetch(client, limits, since)
    if not devices:
        raise ReportError(
            f"no device has written to InfluxDB at {client.url} within {since / 3600:g} hours by the clock of this "
            "machine; sudo sensetig doctor finds the cause"
        )
    if not watch:
        _print(devices, as_json=as_json)
    sys.exit(NEEDS_ACTION if any(each.level == policy.ACT for each in devices) else 0)


def _fetch(client: Client, limits: Limits, since: float) -> list[Judged]:
    from sensetig.fleet.devices import in_service, judge, ordered, read

    return ordered(judge(device, limits) for device in in_service(read(client, time.time(), since), limits))


def _print(devices: list[Judged], *, as_json: bool) -> None:
    from rich.console import Console

    from sensetig.fleet.devices import as_plain
    from sensetig.fleet.table import heading, table

    if as_json:
        click.echo(json.dumps({"devices": [as_plain(each) for each in devices]}, indent=2, ensure_ascii=False))
        return
    console = Console(markup=False, highlight=False)
    console.print(heading(devices))
    console.print(table(devices, console.width))


def _watch(client: Client, limits: Limits, since: float, interval: float) -> list[Judged]:
    """Redraw until Ctrl-C. While InfluxDB is unreachable, keep the last table with the error below it."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from sensetig.errors import OperatorError
    from sensetig.fleet.table import heading, table

    devices = _fetch(client, limits, since)
    console = Console(markup=False, highlight=False)
    pause = threading.Event()
    note = Text("")
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        try:
            while True:
                queried = Text(time.strftime("%H:%M:%S  Ctrl-C ends"), style="dim")
                live.update(Group(heading(devices), table(devices, console.width), queried, note), refresh=True)
                pause.wait(interval)
                try:
                    devices, note = _fetch(client, limits, since), Text("")
                except OperatorError as error:
                    note = Text(f"E! {error}", style="red")
        except KeyboardInterrupt:
            return devices
