"""``sensetig demo``: the whole bundle on this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from influxdb_client.client.influxdb_client import InfluxDBClient
from rich.console import Console, Group
from rich.live import Live
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from collectors.__main__ import catalogue
from sensetig import bundle
from sensetig.declarations import declared
from sensetig.demo.arrivals import Arrivals, missing, query, reporting
from sensetig.demo.run import Running, applicable, down, sources, up
from sensetig.demo.state import State, StateError, default_folder
from sensetig.demo.summary import dashboards, save, summary
from sensetig.demo.table import table
from sensetig.engines import EngineUnavailable
from sensetig.influx import SetupError
from sensetig.local.processes import EngineFailed

#: How long the first data of every collector may take, in seconds.
ARRIVAL_SECONDS = 60.0

#: After so long without a word of a collector it is asked whether it finds anything to read on this machine.
SILENT_SECONDS = 5.0


class Duration(click.ParamType[float]):
    """A duration such as 40s, 5m or 1h."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", str(value))
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no duration: write it as 40s, 5m or 1h", param, ctx)
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command()
@click.option("--recording", type=_file, metavar="FILE", help="Play a Sense HAT recording (CSV, also gzipped).")
@click.option("--video", type=_file, metavar="FILE", help="Play a video as the camera.")
@click.option("--for", "duration", type=Duration(), help="Run for so long without a terminal, such as 40s.")
@click.option("--json", "report", type=click.Path(dir_okay=False, path_type=Path), help="Write a summary to this file.")
@click.option("--keep", is_flag=True, help="Leave the engines running, and say how to stop them.")
@click.option("--stop", is_flag=True, help="Stop the engines that --keep has left, and end.")
@click.option("--clean", is_flag=True, help="Stop them, remove the state folder with all its data, and end.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_folder,
    help="The folder for data, tokens and logs.",
)
def command(
    recording: Path | None,
    video: Path | None,
    duration: float | None,
    report: Path | None,
    keep: bool,
    stop: bool,
    clean: bool,
    state: Path,
) -> None:
    """Run the whole bundle on this machine: real engines, on loopback, in a folder of its own.

    System metrics are this machine's. The Sense HAT and the camera are the hardware of a Pi where it is
    there, and simulated otherwise, which their data says in a tag. Ctrl-C stops everything.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT, too: a shell may have started us deaf to it
        signal.signal(number, _interrupt)
    console = Console(stderr=True)
    try:
        place = State(state)
        with place.locked():
            if stop or clean:
                down(place, place.running())
                if clean:
                    shutil.rmtree(state)
                    console.print(f"removed {state}", highlight=False)
                return
            complete = _demo(place, console, recording, video, duration, report, keep)
    except (StateError, EngineUnavailable, EngineFailed, SetupError) as error:
        raise click.ClickException(str(error)) from None
    sys.exit(0 if complete else 1)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def _demo(
    state: State,
    console: Console,
    recording: Path | None,
    video: Path | None,
    duration: float | None,
    report: Path | None,
    keep: bool,
) -> bool:
    environment = sources(os.environ, recording, video)
    began = time.monotonic()

    def say(sentence: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {sentence}", highlight=False, soft_wrap=True)

    running = up(state, environment, say)
    complete = interrupted = False
    try:
        with InfluxDBClient(running.influxdb_url, running.read_token, org=running.organisation) as client:
            complete = _follow(running, state.logs, client, environment, say, duration, report, console)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if keep and not interrupted:
            say(f"the engines are left running; stop them with: sensetig demo --stop --state {state.folder}")
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the stopping short
            say("stopping Telegraf, InfluxDB and Grafana")
            down(state, running.identities)
    return complete or (interrupted and duration is None)


def _follow(
    running: Running,
    logs: Path,
    client: InfluxDBClient,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    duration: float | None,
    report: Path | None,
    console: Console,
) -> bool:
    """Wait for the data, show it, and answer whether all of it has come."""
    declarations = declared()
    expected = list(catalogue())

    unasked = set(expected)

    def look() -> Arrivals:
        return query(client, running.bucket, running.started)

    def elapsed() -> float:
        return (datetime.now(UTC) - running.started).total_seconds()

    def absent() -> list[str]:
        arrivals = look()
        silent = unasked - reporting(arrivals) if elapsed() > SILENT_SECONDS else set()
        for name in sorted(silent):
            unasked.remove(name)
            if not applicable(name, environment):
                expected.remove(name)
                say(f"{name} finds nothing to read on this machine")
        return missing(arrivals, expected, declarations)

    say("waiting for the first data of every collector")
    waiting = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(ARRIVAL_SECONDS if duration is None else max(1.0, duration - elapsed())),
        wait=wait_fixed(0.5),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else expected,
    )
    late = waiting(absent)
    if late:
        say(f"no data yet from: {', '.join(late)}; the logs are in {logs}")
    else:
        say("data of every collector has arrived")

    stdout = Console()
    urls = _urls(running)
    if duration is None and stdout.is_terminal:
        with Live(console=stdout, refresh_per_second=1) as live:
            while True:
                live.update(Group(table(look(), declarations, datetime.now(UTC)), "", *urls))
                time.sleep(2)
    if duration is None:
        for line in urls:
            stdout.print(line, highlight=False, soft_wrap=True)
        signal.pause()
    assert duration is not None
    time.sleep(max(0.0, duration - elapsed()))
    arrivals = look()
    lacking = missing(arrivals, expected, declarations)
    stdout.print(table(arrivals, declarations, datetime.now(UTC)))
    for line in urls:
        stdout.print(line, highlight=False, soft_wrap=True)
    if report is not None:
        content = summary(running, arrivals, expected, lacking, declarations, datetime.now(UTC))
        try:
            save(content, report)
        except OSError as error:
            raise click.ClickException(f"the summary {report} cannot be written: {error.strerror}") from None
    if lacking:
        console.print(f"E! no data has arrived through Telegraf from: {', '.join(lacking)}", highlight=False)
    return not lacking


def _urls(running: Running) -> list[str]:
    lines = []
    if running.grafana_url:
        for title, path in dashboards(bundle.root() / "grafana" / "dashboards"):
            lines.append(f"{title:14} {running.grafana_url}{path}")
    lines.append(f"{'InfluxDB':14} {running.influxdb_url}  (token to read: {running.read_token_file})")
    return lines
