"""Option types, and the common options that locate the installation."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sensetig.site import Site

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class FiniteRange(click.FloatRange):
    """A finite number within bounds. click alone accepts NaN within any bounds, and infinity within an open one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


class Duration(click.ParamType[float]):
    """A duration such as 40s, 5m, 6h or 7d; its value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", str(value))
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no duration: write it as 40s, 5m, 6h or 7d", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


def recording_form(command: Command) -> Command:
    """Options for the format of a recording, like the settings of the collector `sensehat`."""
    for option in (
        click.option("--time-format", metavar="FORMAT", help="Format of its times, such as %d/%m/%Y %H:%M:%S."),
        click.option(
            "--time-zone", default="UTC", show_default=True, metavar="ZONE", help="Zone of its times without an offset."
        ),
        click.option(
            "--columns",
            default="",
            metavar="OURS=THEIRS,...",
            help="Columns of a recording with other names, such as temp_h=Temperatur.",
        ),
    ):
        command = option(command)
    return command


class SiteOption(click.Option):
    """An option with one variable for all commands; a command's own variable is deprecated."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """The value of the variable, or of the deprecated one, with a line on stderr."""
        value = click.Parameter.resolve_envvar_value(self, ctx)
        if value is not None:
            return value
        old = super().resolve_envvar_value(ctx)
        if old is not None:
            name = f"{ctx.auto_envvar_prefix}_{(self.name or '').upper()}"
            click.echo(f"W! {name} is deprecated: set {self.envvar} instead", err=True)
        return old


def site_option(
    name: str, variable: str, value: Callable[[Site], Any], shown: str, help: str, type: Any = None
) -> Callable[[Command], Command]:
    """An option whose default comes from :mod:`sensetig.site`."""

    def default() -> Any:
        from sensetig.site import load

        return value(load())

    return click.option(
        name,
        cls=SiteOption,
        envvar=variable,
        show_envvar=True,
        default=default,
        show_default=shown,
        help=help,
        type=type,
    )


_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)

influxdb_url = site_option(
    "--url", "SENSETIG_INFLUXDB_URL", lambda site: site.influxdb_url, "that of this installation", "InfluxDB's address."
)
organisation = site_option(
    "--organisation", "SENSETIG_ORGANISATION", lambda site: site.organisation, "sensetig", "InfluxDB's organisation."
)
bucket = site_option("--bucket", "SENSETIG_BUCKET", lambda site: site.bucket, "raw", "InfluxDB's bucket.")
tokens = site_option(
    "--tokens", "SENSETIG_TOKENS", lambda site: site.tokens, "where sensetig setup keeps them",
    "Folder with operator.token, telegraf.token and grafana.token.", _FOLDER,
)  # fmt: skip
token_file = site_option(
    "--token-file", "SENSETIG_READ_TOKEN_FILE", lambda site: site.read_token_file,
    "grafana.token, where sensetig setup keeps it", "File with a token that may read.", _FILE,
)  # fmt: skip
ca_file = site_option(
    "--ca-file", "SENSETIG_CA_FILE", lambda site: site.ca_file, "those of the system and of this installation",
    "Certificates of authorities to trust in addition.", _FILE,
)  # fmt: skip
grafana_url = site_option(
    "--url", "SENSETIG_GRAFANA_URL", lambda site: site.grafana_url, "that of this installation", "Grafana's address."
)
grafana_admin = site_option(
    "--admin", "SENSETIG_GRAFANA_ADMIN", lambda site: site.grafana_admin, "admin", "A Grafana administrator."
)
live_tokens = site_option(
    "--tokens", "SENSETIG_LIVE_TOKENS", lambda site: site.live_tokens, "live in the folder of settings, or the user's",
    "Folder for the token of live points; made for its owner alone.", _FOLDER,
)  # fmt: skip
grafana_password_file = site_option(
    "--password-file", "SENSETIG_GRAFANA_PASSWORD_FILE", lambda site: site.grafana_password_file,
    "that of this installation", "File with the administrator's password, readable by its owner alone.", _FILE,
)  # fmt: skip
