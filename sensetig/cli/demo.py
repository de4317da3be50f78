"""``sensetig demo``: the whole bundle on this machine."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from sensetig.errors import InfluxDBError, OperatorError, SetupError
from sensetig.options import Duration

if TYPE_CHECKING:
    from rich.console import Console

    from sensetig.demo.run import Running
    from sensetig.demo.state import State
    from sensetig.demo.watch import DemoMonitor


def _default_folder() -> Path:
    from sensetig.demo.state import default_folder

    return default_folder()


#: Default port of the page without a Grafana: Grafana's own.
PAGE_PORT = 3000


class DemoOptions(NamedTuple):
    """The command's options."""

    recording: Path | None
    video: Path | None
    duration: float | None
    report: Path | None
    keep: bool


_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command()
@click.option("--recording", type=_file, metavar="FILE", help="Play a Sense HAT recording (CSV, also gzipped).")
@click.option("--video", type=_file, metavar="FILE", help="Play a video as the camera.")
@click.option(
    "--for",
    "duration",
    type=Duration(),
    envvar="SENSETIG_DEMO_FOR",
    help="Run unattended for this long, such as 40s.",
)
@click.option(
    "--json",
    "report",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SENSETIG_DEMO_JSON",
    help="With --for: write a summary to this file.",
)
@click.option("--keep", is_flag=True, help="Leave the engines running, and say how to stop them.")
@click.option("--stop", is_flag=True, help="Stop the engines that --keep has left, and end.")
@click.option("--clean", is_flag=True, help="Stop them, remove the demo's data, tokens and logs, and end.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=_default_folder,
    show_default="demo in the user's state folder",
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
    """Run the whole bundle on this machine.

    The demo runs real engines on loopback, with their data in a separate folder. System metrics are this machine's.
    The Sense HAT and the camera are the hardware of a Pi where it is there, and simulated otherwise, which their
    data says in a tag. Without Grafana, the charts of the last minutes are a page that refreshes itself in a browser.
    Ctrl-C stops everything, or with --keep all but the engines.
    """
    if report is not None and duration is None:
        raise click.UsageError("--json goes with --for: the summary is written when the time is up")
    from rich.console import Console

    from sensetig.demo.state import State

    console = Console(stderr=True, markup=False, highlight=False)
    try:
        if stop or clean:
            _end(state, console, clean=clean)
            return
        place = State(state)
        with place.locked():
            complete = _demo(place, console, DemoOptions(recording, video, duration, report, keep))
    except (SetupError, InfluxDBError) as error:
        raise OperatorError(f"{error}; to start from scratch, run: sensetig demo --clean --state {state}") from None
    except KeyboardInterrupt:
        raise click.ClickException("interrupted during the start; all that was started is stopped") from None
    sys.exit(0 if complete else 1)


def _end(folder: Path, console: Console, *, clean: bool) -> None:
    from sensetig.demo.run import down
    from sensetig.demo.state import State

    state = State.existing(folder)
    if state is None:
        console.print(f"there is no demo in {folder}", soft_wrap=True)
        return
    with state.locked():
        down(state, state.running())
        if clean:
            state.remove()
            console.print(f"removed the demo's data, tokens and logs in {folder}", soft_wrap=True)


def _demo(state: State, console: Console, options: DemoOptions) -> bool:
    """Run the demo with these options; return whether all expected data arrived."""
    from rich.text import Text

    from sensetig.demo.interrupts import Interrupts
    from sensetig.demo.run import down, sources, up
    from sensetig.demo.watch import DemoMonitor
    from sensetig.influxdb.client import Client

    interrupts = Interrupts()
    environment = sources(os.environ, options.recording, options.video)
    began = time.monotonic()

    def say(sentence: str) -> None:
        console.print(Text.assemble((f"{time.monotonic() - began:5.1f} s  ", "dim"), sentence), soft_wrap=True)

    running = up(state, environment, interrupts, say)
    sound = False
    try:
        with Client(running.influxdb_url, running.read_token, organisation=running.organisation) as client:
            watch = DemoMonitor(running, client, environment, state.logs, say)
            complete = _follow(running, watch, options, console, state.reports)
        sound = True
        return complete
    except KeyboardInterrupt:
        sound = True
        return options.duration is None
    finally:
        interrupts.ignore()  # a second Ctrl-C must not interrupt the shutdown
        if sound and options.keep:
            say(f"the engines are left running; stop them with: sensetig demo --stop --state {state.folder}")
        else:
            say("stopping the engines")
            down(state, running.identities)


def _follow(running: Running, watch: DemoMonitor, options: DemoOptions, console: Console, reports: Path) -> bool:
    from rich.console import Console

    from sensetig.demo import pages
    from sensetig.demo.served import Page, PageServer
    from sensetig.demo.summary import save, summary
    from sensetig.demo.table import table
    from sensetig.demo.testbed import ports
    from sensetig.demo.watch import ARRIVAL_SECONDS

    stdout = Console(markup=False, highlight=False)
    if options.duration is None:
        watch.await_data(ARRIVAL_SECONDS)
        if running.grafana_url is not None:
            watch.show(stdout)
        port, taken = ports.choose(PAGE_PORT)
        if taken:
            watch.say(taken)
        with PageServer(Page(pages.draw(running)), port) as server:
            watch.say(f"there is no Grafana: a page with the charts of the last minutes is at {server.url}")
            if stdout.is_terminal:
                pages.open_in_browser(server.url)
            watch.show(stdout, server.url)
    # The engines' start-up counts towards the duration; on a slow machine little time may remain for the first data.
    watch.await_data(max(ARRIVAL_SECONDS, options.duration - watch.elapsed))
    arrivals = watch.let_run(options.duration)
    lacking = watch.absent(arrivals)
    now = datetime.now(UTC)
    stdout.print(table(arrivals, watch.declared, now))
    for line in watch.addresses():
        stdout.print(line, soft_wrap=True)
    if options.report is not None:
        content = summary(running, arrivals, watch.expected, lacking, watch.declared, now)
        try:
            save(content, options.report)
        except OSError as error:
            raise click.ClickException(f"the summary {options.report} cannot be written: {error.strerror}") from None
    if running.grafana_url is None:
        pages.write(running, reports, watch.say)
    if lacking:
        console.print(f"E! no data has arrived through Telegraf from: {', '.join(lacking)}", soft_wrap=True)
    return not lacking
