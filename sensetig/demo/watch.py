"""Monitor a running demo: wait for its data, show it, and detect that an engine has ended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from rich.console import Console, Group
from rich.live import Live
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from collectors.core.registry import catalogue
from sensetig import bundle
from sensetig.declarations import declared
from sensetig.demo.arrivals import Arrivals, missing, query, reporting
from sensetig.demo.run import Running, applicable
from sensetig.demo.summary import dashboards
from sensetig.demo.table import table
from sensetig.demo.testbed.processes import EngineFailed, tail
from sensetig.errors import InfluxDBError
from sensetig.influxdb.client import Client

#: Seconds allowed for the first data of every collector to arrive.
ARRIVAL_SECONDS = 90.0

#: Seconds without data from a collector before the demo asks it whether this machine has anything for it to read.
SILENT_SECONDS = 5.0

#: Seconds between two redraws of the table and two checks of the engines.
LOOK_SECONDS = 2.0


class DemoMonitor:
    """One demo while it runs.

    Args:
        running: the demo.
        client: of its InfluxDB, with the read token.
        environment: the collectors' environment.
        logs: the folder of the engines' logs.
        say: receives progress, one sentence at a time.
    """

    def __init__(
        self,
        running: Running,
        client: Client,
        environment: Mapping[str, str],
        logs: Path,
        say: Callable[[str], None],
    ) -> None:
        self._running = running
        self._client = client
        self._environment = environment
        self._logs = logs
        self.say = say
        self.declared = declared()
        snippets = bundle.root() / "telegraf" / "telegraf.d"
        self.expected = [name for name in catalogue() if (snippets / f"{name}.conf").is_file()]
        self._unasked = set(self.expected)

    @property
    def elapsed(self) -> float:
        """Seconds since the demo was started."""
        return (datetime.now(UTC) - self._running.started).total_seconds()

    def check(self) -> None:
        """Raise EngineFailed when an engine has ended."""
        for identity in self._running.identities:
            if identity.process() is None:
                raise self._failed(identity.name, "has ended")

    def look(self) -> Arrivals:
        """The arrivals so far. Raises EngineFailed when an engine has ended or InfluxDB does not answer."""
        self.check()
        try:
            return query(self._client, self._running.bucket, self._running.started)
        except InfluxDBError as error:
            raise self._failed("InfluxDB", f"cannot be queried ({error})") from None

    def _failed(self, name: str, what: str) -> EngineFailed:
        log = self._logs / f"{name.lower()}.log"
        said = tail(log)
        return EngineFailed(f"{name} {what}; the end of its log {log}:\n{said}" if said else f"{name} {what}")

    def absent(self, arrivals: Arrivals) -> list[str]:
        """The collectors whose data has not arrived, except those that have nothing to read here."""
        silent = self._unasked - reporting(arrivals) if self.elapsed > SILENT_SECONDS else set()
        self._unasked -= silent
        without = [name for name in sorted(silent) if not applicable(name, self._environment)]
        if without:
            self.expected = [name for name in self.expected if name not in without]
            self.say(f"nothing to read on this machine for: {', '.join(without)}")
        return missing(arrivals, self.expected, self.declared)

    def await_data(self, seconds: float) -> None:
        """Wait until data of every collector has arrived or the time is up, and print the outcome."""
        self.say("waiting for the first data of every collector")
        late = Retrying(
            retry=retry_if_result(bool),
            stop=stop_after_delay(seconds),
            wait=wait_fixed(0.5),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else self.expected,
        )(lambda: self.absent(self.look()))
        for name in late:
            self.say(f"no data of {name} yet: {last_error(self._logs / 'telegraf.log', name)}")
        if not late:
            self.say("data of every collector has arrived")

    def show(self, console: Console, page: str = "") -> NoReturn:
        """Redraw the table until interrupted; without a terminal, print only the addresses.

        Args:
            console: receives the table.
            page: the address of the page that replaces the dashboards; or empty.
        """
        # Above the table: a terminal of 24 lines cuts off its end.
        addresses = [*([f"{'Charts':14} {page}"] if page else []), *self.addresses(), "Ctrl-C stops the demo."]
        if not console.is_terminal:
            for line in addresses:
                console.print(line, soft_wrap=True)
            while True:
                time.sleep(LOOK_SECONDS)
                self.check()
        with Live(console=console, refresh_per_second=1) as live:
            while True:
                drawn = table(self.look(), self.declared, datetime.now(UTC))
                live.update(Group(*addresses, "", drawn))
                time.sleep(LOOK_SECONDS)

    def let_run(self, seconds: float) -> Arrivals:
        """Let the demo run until this long after its start, and check the engines; return the arrivals."""
        while (left := seconds - self.elapsed) > 0:
            self.check()
            time.sleep(min(LOOK_SECONDS, left))
        return self.look()

    def addresses(self) -> list[str]:
        """The addresses of the dashboards and of InfluxDB, a line each."""
        running = self._running
        lines = []
        if running.grafana_url:
            for title, path in dashboards(bundle.root() / "grafana" / "dashboards"):
                lines.append(f"{title:14} {running.grafana_url}{path}")
        lines.append(f"{'InfluxDB':14} {running.influxdb_url}  (token to read: {running.read_token_file})")
        return lines


def last_error(log: Path, collector: str) -> str:
    """The last error of a collector in Telegraf's log, or a hint where to look."""
    said = re.findall(rf"E! \[inputs\.execd\] {collector}: (.+)", log.read_text(errors="replace"))
    return said[-1] if said else f"it has said nothing of an error; Telegraf's log is {log}"
