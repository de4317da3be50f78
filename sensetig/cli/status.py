"""``sensetig status``: the fleet in the terminal."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import platformdirs

from sensetig import policy

if TYPE_CHECKING:
    from sensetig.fleet.devices import Judged, Limits
    from sensetig.report.reader import Reader

#: The exit status when a device needs action; 1 is a failed query, 2 a wrong option.
NEEDS_ACTION = 3


class Seconds(click.ParamType[float]):
    """A duration such as 40s, 5m, 6h or 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        match = re.fullmatch(r"(\d{1,9})(s|m|h|d)", str(value))
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is no duration: write it as 40s, 5m, 6h or 7d", param, ctx)
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


@click.command()
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.option(
    "--interval",
    type=Seconds(),
    default="5s",
    show_default=True,
    show_envvar=True,
    help="With --watch: time between refreshes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option(
    "--late",
    type=Seconds(),
    default=f"{policy.LATE_SECONDS}s",
    show_default=True,
    show_envvar=True,
    help=f"Late after this silence, or {policy.LATE_INTERVALS} intervals of the device, whichever is longer.",
)
@click.option(
    "--offline",
    type=Seconds(),
    default=f"{policy.OFFLINE_SECONDS // 60}m",
    show_default=True,
    show_envvar=True,
    help=f"Offline after this silence, or {policy.OFFLINE_INTERVALS} intervals of the device, whichever is longer.",
)
@click.option(
    "--since",
    type=Seconds(),
    default=f"{policy.FORGOTTEN_DAYS}d",
    show_default=True,
    show_envvar=True,
    help="Leave out devices that have been silent for longer.",
)
@click.option("--url", default="http://127.0.0.1:8086", show_default=True, show_envvar=True, help="InfluxDB's address.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=lambda: platformdirs.user_state_path("sensetig") / "tokens" / "grafana.token",
    show_default="grafana.token, where sensetig setup puts it",
    show_envvar=True,
    help="File with a token that may read.",
)
def command(
    watch: bool,
    interval: float,
    as_json: bool,
    late: float,
    offline: float,
    since: float,
    url: str,
    token_file: Path,
) -> None:
    """Show device status, most urgent first.

    The exit status is 0 when no device needs action, 3 when one does, and 1 when InfluxDB cannot be queried.
    """
    from collectors.core.files import read_token
    from sensetig.fleet.devices import Limits
    from sensetig.report.errors import ReportError
    from sensetig.report.reader import Reader

    if watch and as_json:
        raise click.UsageError("--watch and --json exclude each other")
    if late > offline:
        raise click.UsageError("--late must not be longer than --offline")
    try:
        reader = Reader(url, read_token(token_file, "the token file", error=ReportError), f"the token in {token_file}")
        limits = Limits(late, offline)
        devices = _watch(reader, limits, since, interval) if watch else _fetch(reader, limits, since)
        if not devices:
            raise ReportError(f"no device has written to InfluxDB at {url} within {since / 3600:g} hours")
    except ReportError as error:
        raise click.ClickException(str(error)) from None
    if not watch:
        _print(devices, as_json=as_json)
    sys.exit(NEEDS_ACTION if any(each.level == policy.ACT for each in devices) else 0)


def _fetch(reader: Reader, limits: Limits, since: float) -> list[Judged]:
    from sensetig.fleet.devices import in_service, judge, ordered, read

    return ordered(judge(device, limits) for device in in_service(read(reader, time.time(), since), limits))


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


def _watch(reader: Reader, limits: Limits, since: float, interval: float) -> list[Judged]:
    """Redraw until Ctrl-C. While InfluxDB is away, the last table stays, with the error below it."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from sensetig.fleet.table import heading, table
    from sensetig.report.errors import ReportError

    devices = _fetch(reader, limits, since)
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
                    devices, note = _fetch(reader, limits, since), Text("")
                except ReportError as error:
                    note = Text(f"E! {error}", style="red")
        except KeyboardInterrupt:
            return devices
