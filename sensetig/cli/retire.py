"""``sensetig retire``: a device that is gone for good."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import platformdirs

if TYPE_CHECKING:
    from sensetig.report.reader import Reader

#: A device's tag, and the measurement and field from which it is known. The measurement takes the field `retired`, too:
#: InfluxDB answers one question about both only within a measurement.
_KNOWN = {"host": ("system", "uptime"), "device": ("device_state", "messages")}


def retired_lines(name: str, places: Iterable[tuple[str, str]], *, retired: bool, seconds: int) -> list[str]:
    """The lines with the field `retired` that the rules for silent devices read, with times in seconds.

    Args:
        name: of the device.
        places: where it is known: its tag (`host` for a machine, `device` for what speaks through one), and its site.
        retired: whether it is, or is taken back.
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


def known(reader: Reader, name: str) -> set[tuple[str, str]]:
    """The tags and sites under which a device has written within what is kept. Raises ReportError."""
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    found = set()
    for tag, (measurement, field) in _KNOWN.items():
        query = f'SELECT last("{field}") FROM "{measurement}" WHERE "{tag}" = \'{quoted}\' GROUP BY "site"'  # noqa: S608
        found |= {(tag, series.tags.get("site", "")) for series in reader.ask(query)}
    return found


@click.command()
@click.argument("device")
@click.option("--back", is_flag=True, help="Take the device back: from now on its silence is told again.")
@click.option("--site", help="Only at this site; by default wherever the device has written.")
@click.option(
    "--url",
    envvar="SENSETIG_INFLUXDB_URL",
    default="http://127.0.0.1:8086",
    show_default=True,
    show_envvar=True,
    help="InfluxDB's address.",
)
@click.option("--organisation", default="sensetig", show_default=True, show_envvar=True, help="Owner of the bucket.")
@click.option(
    "--tokens",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: platformdirs.user_state_path("sensetig") / "tokens",
    show_default="where sensetig setup puts them",
    show_envvar=True,
    help="Folder with grafana.token, which may read, and telegraf.token, which may write.",
)
def command(device: str, back: bool, site: str | None, url: str, organisation: str, tokens: Path) -> None:
    """Take DEVICE out of service: nobody is told any more that it is silent.

    Its data stays. That it is retired is a point beside its own, in the field `retired`, and is forgotten with them
    after the bucket's retention. A device that comes back is taken back with --back.
    """
    from collectors.core.files import read_token
    from sensetig.report.errors import ReportError
    from sensetig.report.reader import Reader

    try:
        reader = Reader(url, read_token(tokens / "grafana.token", "the token file", error=ReportError), "grafana.token")
        places = {place for place in known(reader, device) if site is None or place[1] == site}
        if not places:
            where = f" at the site {site}" if site else ""
            raise ReportError(
                f"no device {device!r} has written{where} within what InfluxDB keeps; see sensetig status"
            )
        token = read_token(tokens / "telegraf.token", "the token file", error=ReportError)
        _write(url, organisation, token, retired_lines(device, places, retired=not back, seconds=int(time.time())))
    except ReportError as error:
        raise click.ClickException(str(error)) from None
    sites = ", ".join(sorted(place or "no site" for _, place in places))
    click.echo(f"{device} ({sites}) is {'in service again' if back else 'retired'}")


def _write(url: str, organisation: str, token: str, lines: list[str]) -> None:
    """Write lines with times in seconds into the bucket raw. Raises ReportError."""
    from urllib.parse import urlencode

    import urllib3
    from urllib3.exceptions import HTTPError

    from sensetig.report.errors import ReportError

    query = urlencode({"org": organisation, "bucket": "raw", "precision": "s"})
    try:
        answer = urllib3.request(
            "POST",
            f"{url.rstrip('/')}/api/v2/write?{query}",
            body="\n".join(lines),
            headers={"Authorization": f"Token {token}"},
            retries=False,
            timeout=10,
        )
    except HTTPError as error:
        raise ReportError(f"InfluxDB at {url} does not answer ({type(error).__name__}); nothing was written") from None
    if answer.status != 204:
        raise ReportError(
            f"InfluxDB at {url} refused to write (status {answer.status}): does telegraf.token still hold, and is "
            f"{organisation!r} the organisation?"
        )
