"""``sensetig simulate``: simulate many Pis with Sense HATs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sensetig.options import Duration, FiniteRange, recording_form

_file = click.Path(dir_okay=False, path_type=Path)


class _Time(click.ParamType[int]):
    """A time such as 2026-06-21T12:00."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Nanoseconds since 1970."""
        from collectors.sensehat.csv_recording import parse_time

        try:
            return value if isinstance(value, int) else parse_time("time", str(value))
        except ValueError:
            self.fail(
                f"{value!r} is no time: write it as 2026-06-21T12:00, in UTC unless it says otherwise", param, ctx
            )


def _profiles(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from sensetig.simulator.profile import load, names

    for name in names():
        click.echo(f"{name:<10}  {load(name).help}")
    ctx.exit()


@click.command("simulate")
@click.option(
    "--devices", type=click.IntRange(1, 100_000), metavar="N", default=3, show_default=True, help="How many Pis."
)
@click.option(
    "--interval",
    type=FiniteRange(0.001, 86_400),
    metavar="S",
    default=10.0,
    show_default=True,
    help="Seconds from one reading of a device to its next.",
)
@click.option(
    "--profile", default="classroom", show_default=True, help="What goes wrong: a name, or a file that ends in .toml."
)
@click.option(
    "--profiles", is_flag=True, is_eager=True, expose_value=False, callback=_profiles, help="List them, and end."
)
@click.option(
    "--to",
    "url",
    metavar="URL",
    default="-",
    help="mqtt://, mqtts://, nats://, tls:// (NATS), http:// or https:// (InfluxDB); without it, lines on stdout.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Chooses devices, weather and faults.")
@click.option("--site", default="simulation", show_default=True, help="The tag site.")
@click.option(
    "--recording", type=_file, metavar="FILE", help="Readings of a CSV, also gzipped, in place of computed ones."
)
@recording_form
@click.option(
    "--for", "duration", type=Duration(), envvar="SENSETIG_SIMULATE_FOR", help="Stop after this simulated time."
)
@click.option("--messages", type=click.IntRange(1), metavar="M", help="Stop after this number of readings per device.")
@click.option(
    "--start", type=_Time(), help="The simulated time of the first reading; now, or for --speed 0 the end is now."
)
@click.option(
    "--speed",
    type=FiniteRange(0, 100_000),
    default=1.0,
    show_default=True,
    help="Simulated seconds to a second; 0 for as fast as it goes.",
)
@click.option(
    "--payload",
    type=click.Choice(("lines", "json")),
    default="lines",
    show_default=True,
    help="How a broker's messages are spelt.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="MQTT connections at most; one for each device up to 100 devices, or else 4.",
)
@click.option("--password-file", metavar="FILE", help="Its first line is the password of the URL's user; mode 0600.")
@click.option("--ca-file", metavar="FILE", help="Certificates to check the broker's or NATS's against.")
@click.option(
    "--token-file", metavar="FILE", help="InfluxDB's token, mode 0600; or the variable SENSETIG_SIMULATE_TOKEN."
)
@click.option("--organisation", default="sensetig", show_default=True, help="InfluxDB's organisation.")
@click.option("--bucket", default="raw", show_default=True, help="InfluxDB's bucket.")
@click.option(
    "--stream-bytes",
    type=click.IntRange(1 << 20),
    metavar="N",
    default=1 << 30,
    show_default=True,
    help="Maximum size of a stream that is created.",
)
@click.option("--make-stream", is_flag=True, help="Make the stream and the workers' consumer in NATS first.")
@click.option(
    "--json",
    "report",
    type=_file,
    metavar="FILE",
    envvar="SENSETIG_SIMULATE_JSON",
    help="Write the report to this file.",
)
@click.option("--manifest", type=_file, metavar="FILE", help="Write a line of JSON for each point that is sent.")
@click.option("--wait", type=FiniteRange(0.1, 3600), default=10.0, show_default=True, help="Seconds for connecting.")
@click.option(
    "--drain", type=FiniteRange(0.1, 3600), default=30.0, show_default=True, help="Seconds for the last answers."
)
def command(**options: Any) -> None:
    """Simulate many Pis with Sense HATs.

    The command simulates their faults too, and reports exactly the points that it sent. The same seed gives the same
    devices with the same faults, however many there are and whatever carries their messages. Every point carries
    simulated=true, or replayed=true, so it is not mistaken for real data. Ctrl-C ends it in order. The status is 1
    when something could not be sent.
    """
    from sensetig.simulator.run import SimulateOptions, simulate

    sys.exit(0 if simulate(SimulateOptions(**options)) else 1)
