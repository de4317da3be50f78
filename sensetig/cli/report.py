"""``sensetig report``: a report on one period of a device, in words, charts and pictures."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensetig.options import ca_file, influxdb_url, token_file

if TYPE_CHECKING:
    from sensetig.influxdb.client import Client
    from sensetig.report.mail import SmtpConfig
    from sensetig.report.store import ReportStore

#: Maximum number of earlier reports that one run sends.
_MAX_SENT = 20


class Moment(click.ParamType[str]):
    """A time: a date, a date with a time, how long ago, or a word."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Validate the text as a time, and return it unchanged."""
        from sensetig.report.period import moment

        try:
            moment(str(value), datetime.now().astimezone())
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


@click.command()
@click.option(
    "--from",
    "begin",
    type=Moment(),
    default="7d",
    show_default=True,
    show_envvar=True,
    envvar="SENSETIG_REPORT_FROM",
    help="Begin: 2026-11-14, 2026-11-14T08:00, or 7d ago.",
)
@click.option(
    "--to",
    "end",
    type=Moment(),
    default="now",
    show_default=True,
    show_envvar=True,
    envvar="SENSETIG_REPORT_TO",
    help="End, in the same formats.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    show_envvar=True,
    help="Device name, or all; may be given several times. Required if there are several devices.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(("html", "pdf", "png", "csv")),
    default="html",
    show_default=True,
    show_envvar=True,
    envvar="SENSETIG_REPORT_FORMAT",
    help="pdf and png are printed by Chromium.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    show_envvar=True,
    help="The file to write.  [default: in the working folder, named by device and period]",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    show_envvar=True,
    help="Write into this folder instead, and remove old reports there.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    show_envvar=True,
    help="With --folder: number of newest reports to keep.",
)
@click.option(
    "--dashboard",
    "boards",
    multiple=True,
    show_envvar=True,
    envvar="SENSETIG_REPORT_DASHBOARD",
    help="Show only this dashboard, such as environment; may be given several times.",
)
@click.option(
    "--bucket",
    type=click.Choice(("auto", "raw", "hourly")),
    default="auto",
    show_default=True,
    show_envvar=True,
    help="auto reads more than 14 days, and what raw no longer keeps, by the hour.",
)
@influxdb_url
@token_file
@ca_file
@click.option("--smtp-host", default="", show_envvar=True, help="Mail the report through this server; needs --folder.")
@click.option(
    "--smtp-port", type=click.IntRange(1, 65535), show_envvar=True, help="[default: 587, with tls 465, with none 25]"
)
@click.option(
    "--smtp-security",
    type=click.Choice(("starttls", "tls", "none")),
    default="starttls",
    show_default=True,
    show_envvar=True,
    help="none is for a mail server on this machine alone.",
)
@click.option("--smtp-user", default="", show_envvar=True, help="Sign in as this user.")
@click.option(
    "--smtp-password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    show_envvar=True,
    help="Its first line is the password; only its owner may read it (0600).",
)
@click.option("--smtp-ca-file", default="", show_envvar=True, help="Certificates instead of the system's.")
@click.option("--mail-from", default="", show_envvar=True, help="The sender's address.")
@click.option("--mail-to", multiple=True, show_envvar=True, help="A recipient's address; may be given again.")
def command(begin: str, end: str, **options: Any) -> None:  # fmt: skip
    """Write a report on one period of a device.

    The report is one file with a summary, charts, alerts and the camera's best pictures. It needs InfluxDB and no
    Grafana: it runs the queries of the dashboards' panels.
    """
    sys.exit(0 if _report(begin, end, options) else 1)


def _report(begin: str, end: str, options: dict[str, Any]) -> bool:
    """Make and send the reports; True if all were made and sent."""
    from sensetig.errors import OperatorError
    from sensetig.influxdb.client import Client
    from sensetig.report import store
    from sensetig.report.maker import Wanted, known_device, make, raw_kept_days
    from sensetig.report.period import moment, period

    if options["output"] and options["folder"]:
        raise click.UsageError("--output and --folder exclude each other")
    if options["smtp_host"] and not options["folder"]:
        raise click.UsageError("--smtp-host goes with --folder: a report that cannot be sent is kept there")
    smtp = _smtp_config(options)
    now = datetime.now().astimezone()
    span = period(
        moment(begin, now), moment(end, now), now, raw_kept_days=raw_kept_days(), bucket=options["bucket"]
    )  # fmt: skip
    client = Client.with_token_file(options["url"], options["token_file"], ca_file=options["ca_file"])
    devices = _devices(client, options["devices"])
    if len(devices) > 1 and options["output"]:
        raise click.UsageError("--output is one file, and there are several devices: take --folder")
    for device in devices:
        known_device(client, device)
    reports = store.ReportStore(options["folder"]) if options["folder"] else None
    store.writable(reports.folder if reports is not None else (options["output"] or Path("report")).parent)
    complete = True
    for device in devices:
        wanted = Wanted(device, span, options["kind"], tuple(options["boards"]))
        try:
            made = make(client, wanted, now)
        except OperatorError as error:
            if len(devices) == 1:
                raise
            click.echo(f"E! {error}", err=True)
            complete = False
            continue
        file = store.name(device, span.begin, span.end, options["kind"])
        if reports is not None:
            path = reports.add(file, made.content, made.text if smtp is not None else None)
        else:
            path = options["output"] or Path(file)
            store.write(path, made.content)
        click.echo(f"{path}: {made.verdict}")
    if reports is not None:
        complete = _deliver(reports, smtp, options["keep"]) and complete
    return complete


def _devices(client: Client, named: tuple[str, ...]) -> list[str]:
    """The named devices; without a name, the only existing one."""
    from sensetig.errors import ReportError
    from sensetig.report.devices import hosts

    if named and "all" not in named:
        return list(dict.fromkeys(named))
    there = hosts(client)
    if not there:
        raise ReportError(f"InfluxDB at {client.url} holds no data of any device")
    if len(there) > 1 and not named:
        raise ReportError(f"there are several devices: name one with --device, or all: {', '.join(there[:20])}")
    return there


def _smtp_config(options: dict[str, Any]) -> SmtpConfig | None:
    """The configuration for mail, or None."""
    from sensetig.report.mail import SmtpConfig, check
    from sensetig.site import read_password

    if not options["smtp_host"]:
        return None
    if not options["mail_from"] or not options["mail_to"]:
        raise click.UsageError("--smtp-host wants --mail-from and --mail-to")
    file = options["smtp_password_file"]
    smtp = SmtpConfig(
        options["smtp_host"],
        options["smtp_port"] or {"starttls": 587, "tls": 465, "none": 25}[options["smtp_security"]],
        options["smtp_security"],
        options["smtp_user"],
        read_password(file) if file else "",
        options["mail_from"],
        tuple(options["mail_to"]),
        options["smtp_ca_file"],
    )
    check(smtp)
    return smtp


def _deliver(reports: ReportStore, smtp: SmtpConfig | None, keep: int) -> bool:
    """Send unsent reports, then remove old ones; True if all were sent."""
    from sensetig.errors import ReportError
    from sensetig.report.mail import message, send

    complete = True
    if smtp is not None:
        waiting = reports.unsent()[:_MAX_SENT]
        for each in waiting:
            try:
                text = f"{each.text}\n{_TEXT}"
                refused = send(smtp, message(smtp, each.report, f"SenseTIG report {each.report.stem}", text))
                reports.sent(each)
                if refused:
                    click.echo(f"E! the mail server refused {', '.join(refused)}; the others have it", err=True)
                    complete = False
            except ReportError as error:
                click.echo(f"E! {error}", err=True)
                complete = False
                break
    removed, lost = reports.tidy(keep)
    if removed:
        click.echo(f"removed {len(removed)} old report{'' if len(removed) == 1 else 's'} beyond the newest {keep}")
    for path in lost:
        click.echo(f"E! {path.name} was removed before it could be sent", err=True)
    return complete and not lost


_TEXT = """\
The report is attached. It is one file: open it in any browser, with or without a network.

This mail was written by SenseTIG.
"""
