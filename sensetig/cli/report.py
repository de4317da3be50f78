"""``sensetig report``: one period of a device in words, charts and pictures."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import platformdirs

if TYPE_CHECKING:
    from sensetig.report.mail import Post
    from sensetig.report.reader import Reader
    from sensetig.report.shelf import Shelf

#: A run sends at most so many reports that earlier runs could not send, beside its own.
_MOST_SENT = 20


class Moment(click.ParamType[str]):
    """A time: a date, a date with a time, how long ago, or a word."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, once it is known to name a time."""
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
    help="End, in the same words.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    show_envvar=True,
    help="Whose report: the device's name, or all; may be given again. Needed where there are several.",
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
    help="Write into this folder of reports instead, where old ones are removed.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    show_envvar=True,
    help="With --folder: so many reports stay, the newest.",
)
@click.option(
    "--dashboard",
    "boards",
    multiple=True,
    show_envvar=True,
    envvar="SENSETIG_REPORT_DASHBOARD",
    help="Show this dashboard only, such as environment; may be given again.",
)
@click.option(
    "--bucket",
    type=click.Choice(("auto", "raw", "hourly")),
    default="auto",
    show_default=True,
    show_envvar=True,
    help="auto reads more than 14 days, and what raw no longer keeps, by the hour.",
)
@click.option("--url", default="http://127.0.0.1:8086", show_default=True, show_envvar=True, help="InfluxDB's address.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    show_envvar=True,
    default=lambda: platformdirs.user_state_path("sensetig") / "tokens" / "grafana.token",
    show_default="grafana.token, where sensetig setup puts it",
    help="File of a token that may read.",
)
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
    """Tell what happened: a summary in words, charts, alerts and the camera's best pictures, in one file.

    It needs InfluxDB and no Grafana: the panels' queries are asked for as the dashboards have them.
    """
    from sensetig.report.errors import ReportError

    try:
        complete = _report(begin, end, options)
    except ReportError as error:
        raise click.ClickException(str(error)) from None
    sys.exit(0 if complete else 1)


def _report(begin: str, end: str, options: dict[str, Any]) -> bool:
    """Make and send what is asked for; whether all of it could be made and sent."""
    from collectors.core.files import read_token
    from sensetig.report import make, shelf
    from sensetig.report.errors import ReportError
    from sensetig.report.maker import Wanted, known_device, raw_kept_days
    from sensetig.report.period import moment, period
    from sensetig.report.reader import Reader

    if options["output"] and options["folder"]:
        raise click.UsageError("--output and --folder exclude each other")
    if options["smtp_host"] and not options["folder"]:
        raise click.UsageError("--smtp-host goes with --folder: a report that cannot be sent is kept there")
    post = _post(options)
    now = datetime.now().astimezone()
    span = period(
        moment(begin, now), moment(end, now), now, raw_kept_days=raw_kept_days(), bucket=options["bucket"]
    )  # fmt: skip
    token = read_token(options["token_file"], "the token file", error=ReportError)
    reader = Reader(options["url"], token, f"the token in {options['token_file']}")
    devices = _devices(reader, options["devices"])
    if len(devices) > 1 and options["output"]:
        raise click.UsageError("--output is one file, and there are several devices: take --folder")
    for device in devices:
        known_device(reader, device)
    there = shelf.Shelf(options["folder"]) if options["folder"] else None
    shelf.writable(there.folder if there is not None else (options["output"] or Path("report")).parent)
    complete = True
    for device in devices:
        wanted = Wanted(device, span, options["kind"], tuple(options["boards"]))
        try:
            made = make(reader, wanted, now)
        except ReportError as error:
            if len(devices) == 1:
                raise
            click.echo(f"E! {error}", err=True)
            complete = False
            continue
        file = shelf.name(device, span.begin, span.end, options["kind"])
        if there is not None:
            path = there.add(file, made.content, made.text if post is not None else None)
        else:
            path = options["output"] or Path(file)
            shelf.write(path, made.content)
        click.echo(f"{path}: {made.verdict}")
    if there is not None:
        complete = _deliver(there, post, options["keep"]) and complete
    return complete


def _devices(reader: Reader, named: tuple[str, ...]) -> list[str]:
    """The devices asked for; without a name the only one that there is."""
    from sensetig.report.errors import ReportError
    from sensetig.report.reader import hosts

    if named and "all" not in named:
        return list(dict.fromkeys(named))
    there = hosts(reader)
    if not there:
        raise ReportError(f"InfluxDB at {reader.url} holds no data of any device")
    if len(there) > 1 and not named:
        raise ReportError(f"there are several devices: name one with --device, or all: {', '.join(there[:20])}")
    return there


def _post(options: dict[str, Any]) -> Post | None:
    """How mail is sent, where that is configured."""
    from collectors.core.files import read_password
    from sensetig.report.errors import ReportError
    from sensetig.report.mail import Post, check

    if not options["smtp_host"]:
        return None
    if not options["mail_from"] or not options["mail_to"]:
        raise click.UsageError("--smtp-host wants --mail-from and --mail-to")
    file = options["smtp_password_file"]
    post = Post(
        options["smtp_host"],
        options["smtp_port"] or {"starttls": 587, "tls": 465, "none": 25}[options["smtp_security"]],
        options["smtp_security"],
        options["smtp_user"],
        read_password(file, "the password file", error=ReportError) if file else "",
        options["mail_from"],
        tuple(options["mail_to"]),
        options["smtp_ca_file"],
    )
    check(post)
    return post


def _deliver(there: Shelf, post: Post | None, keep: int) -> bool:
    """Send what is to be sent, then remove what is too old. Whether all was sent."""
    from sensetig.report.errors import ReportError
    from sensetig.report.mail import message, send

    complete = True
    if post is not None:
        waiting = there.unsent()[:_MOST_SENT]
        for each in waiting:
            try:
                text = f"{each.text}\n{_TEXT}"
                refused = send(post, message(post, each.report, f"SenseTIG report {each.report.stem}", text))
                there.sent(each)
                if refused:
                    click.echo(f"E! the mail server refused {', '.join(refused)}; the others have it", err=True)
                    complete = False
            except ReportError as error:
                click.echo(f"E! {error}", err=True)
                complete = False
                break
    removed, lost = there.tidy(keep)
    if removed:
        click.echo(f"removed {len(removed)} old report{'' if len(removed) == 1 else 's'} beyond the newest {keep}")
    for path in lost:
        click.echo(f"E! {path.name} was removed before it could be sent", err=True)
    return complete and not lost


_TEXT = """\
The report is attached. It is one file: open it in any browser, with or without a network.

This mail was written by SenseTIG.
"""
