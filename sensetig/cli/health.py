"""``sensetig health``: the verdict on each device, as points for Telegraf."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensetig import options, policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectors.core.line_protocol import Metric
    from sensetig.fleet.health import Since
    from sensetig.influxdb.client import Client

#: The name for its self-metrics, as for a collector.
NAME = "health"


@click.command()
@click.option("--execd", is_flag=True, help="Emit the points for each line on standard input, until it ends.")
@options.influxdb_url
@options.token_file
@options.ca_file
def command(execd: bool, url: str, token_file: Path, ca_file: Path | None) -> None:
    """Print the verdict on each device as line protocol.

    Telegraf on the hub runs it, so that dashboards show the verdict of `sensetig status`.
    """
    from collectors.core.errors import ErrorReporter
    from collectors.core.runner import Runner
    from collectors.core.stdio import StdinControl, write_all
    from sensetig.influxdb.client import Client

    client = Client.with_token_file(url, token_file, ca_file=ca_file)
    report = ErrorReporter(NAME, lambda line: click.echo(line, err=True))
    runner = Runner(NAME, _HealthCollector(client), report, write_all(1), time.time_ns, time.monotonic)
    if execd:
        sys.exit(runner.serve(StdinControl(0)))
    sys.exit(runner.once(StdinControl(None)))


class _HealthCollector:
    """Reads and judges every device at each request. Previous levels are read once: there is no other writer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before: Since | None = None

    def collect(self) -> Iterator[Metric]:
        from sensetig.fleet.devices import Limits, in_service, judge, read
        from sensetig.fleet.health import levels, metrics

        now_ns = time.time_ns()
        if self._before is None:
            self._before = levels(self._client)
        limits = Limits()
        devices = in_service(read(self._client, now_ns / 1e9, policy.FORGOTTEN_DAYS * 86400), limits)
        points = list(metrics((judge(device, limits) for device in devices), self._before, now_ns))
        self._before = {
            str(point.series.tags["device"]): (int(point.fields["level"]), float(point.fields["since_seconds"]))
            for point in points
        }
        yield from points

    def close(self) -> None:
        self._client.close()
