"""``sensetig retire``: mark a device as decommissioned."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensetig import options

if TYPE_CHECKING:
    from sensetig.influxdb.client import Client

#: A device's tag -> the measurement and field that identify the device. The measurement also has the field `retired`:
#: an InfluxQL query can combine the two only within one measurement.
_KNOWN = {"host": ("system", "uptime"), "device": ("device_state", "messages")}


def retired_lines(name: str, places: Iterable[tuple[str, str]], *, retired: bool, seconds: int) -> list[str]:
    """The lines with the field `retired` that the rules for silent devices read, with times in seconds.

    Args:
        name: of the device.
        places: its tags (`host` for a machine, `device` for a device behind a gateway) with their sites.
        retired: whether to retire the device, or to reinstate it.
        seconds: since 1970.
    """
    from collectors.core.line_protocol import Metric, Series, encode

    return [
        encode(
            Metric(
                Series(_KNOWN[tag][0], {tag: name, **({"site": site} if site else {})}),
                {"retired": int(retired)},
                seconds,
            )
        )
        for tag, site in sorted(places)
    ]


def known(client: Client, name: str) -> set[tuple[str, str]]:
    """The tags and sites of the device's points within the retention period. Raises InfluxDBError."""
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    found = set()
    for tag, (measurement, field) in _KNOWN.items():
        query = f'SELECT last("{field}") FROM "{measurement}" WHERE "{tag}" = \'{quoted}\' GROUP BY "site"'  # noqa: S608
        found |= {(tag, series.tags.get("site", "")) for series in client.query(query)}
    return found


@click.command()
@click.argument("device")
@click.option("--back", is_flag=True, help="Put the device back in service: alert on its silence again.")
@click.option("--site", help="Only at this site; by default wherever the device has written.")
@options.influxdb_url
@options.organisation
@options.tokens
@options.ca_file
def command(
    device: str, back: bool, site: str | None, url: str, organisation: str, tokens: Path, ca_file: Path | None
) -> None:
    """Stop alerting on DEVICE.

    Use it for a device that is gone for good. Its data stays. That it is retired is a point among its own, in the
    field `retired`, and is dropped with them after the bucket's retention. A device that comes back is put back in
    service with --back.
    """
    from sensetig.errors import ReportError
    from sensetig.influxdb.client import Client
    from sensetig.site import READ_TOKEN, WRITE_TOKEN

    client = Client.with_token_file(url, tokens / READ_TOKEN, ca_file=ca_file)
    places = {place for place in known(client, device) if site is None or place[1] == site}
    if not places:
        where = f" at the site {site}" if site else ""
        raise ReportError(f"no device {device!r} has written{where} within what InfluxDB keeps; see sensetig status")
    writer = Client.with_token_file(url, tokens / WRITE_TOKEN, organisation=organisation, ca_file=ca_file)
    writer.write("raw", retired_lines(device, places, retired=not back, seconds=int(time.time())), precision="s")
    sites = ", ".join(sorted(place or "no site" for _, place in places))
    click.echo(f"{device} ({sites}) is {'in service again' if back else 'retired'}")
