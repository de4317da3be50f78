"""Make a report: queries, summary, charts, and the output format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sensetig import bundle
from sensetig.alerts.rules import Rule
from sensetig.errors import ReportError, SetupError
from sensetig.influxdb.client import Client
from sensetig.influxdb.definitions import read as read_definitions
from sensetig.report import alerts, lines, panels, stats, store
from sensetig.report.devices import hosts
from sensetig.report.export import as_csv, as_pdf, as_png
from sensetig.report.narrative import as_text, summary, verdict, with_alerts
from sensetig.report.period import Period, period, said
from sensetig.report.text import MAX_NAME, printable

#: The dashboard of months and years, which has no daily values.
_HOURS = "history"

_MISSING = "a report wants its libraries: run pip install 'sensetig[report]'"


class Wanted(NamedTuple):
    """The contents of a report.

    Args:
        device: the device to report on.
        period: the period to cover; its time zone is the page's.
        kind: html, pdf, png or csv.
        boards: keys of the dashboards to include; if empty, all that show one device.
    """

    device: str
    period: Period
    kind: str = "html"
    boards: tuple[str, ...] = ()


class NoData(ReportError):
    """The device has no data in the period."""


class Made(NamedTuple):
    """A report: its content, its summary as text, and a verdict in a few words."""

    content: bytes
    text: str
    verdict: str


def known_device(client: Client, device: str) -> None:
    """Raise ReportError, with the existing devices, for a device that has never written."""
    there = hosts(client)
    if device not in there:
        few = ", ".join(printable(name, MAX_NAME) for name in there[:20]) + (
            f" and {len(there) - 20} more" if len(there) > 20 else ""
        )
        raise ReportError(f"there is no data of a device {device!r}; there is of: {few or 'none'}")


def raw_kept_days() -> float:
    """The retention of the bucket ``raw`` in days, from the bundle's definitions. Raises ReportError."""
    try:
        buckets = read_definitions(bundle.root() / "influxdb").buckets
    except (SetupError, FileNotFoundError) as error:
        raise ReportError(str(error)) from None
    return next((each.retention_seconds / 86400 for each in buckets if each.name == "raw"), 0.0)


def make(client: Client, wanted: Wanted, now: datetime, say: Callable[[str], None] = lambda _: None) -> Made:
    """Make a report. Raises ReportError, also if there is no data at all."""
    when, device = wanted.period, wanted.device
    boards = [board for board in _boards(wanted.boards) if when.hourly or board.key != _HOURS or wanted.boards]
    drawn = [
        (board, [lines.ask(client, panel, device, when) for panel in board.panels])
        for board in boards
    ]  # fmt: skip
    told = stats.gather(client, device, when)
    sentences = summary(told, when, device)
    if told.alive_by is None and all(each.empty for _, panels_drawn in drawn for each in panels_drawn):
        raise NoData(
            f"there is no data of {device} in the bucket {when.bucket} from {said(when.begin)} to {said(when.end)}"
        )
    kept = _kept_since(now)
    rules = alerts.gather(client, _rules(), device, when, int(kept.timestamp() * 1000) if kept else 0)
    sentences = with_alerts(sentences, alerts.together(rules.alerts), when)
    text, words = as_text(device, when, sentences), verdict(sentences)[1]
    if wanted.kind == "csv":
        return Made(as_csv(device, drawn).encode(), text, words)
    pictures = stats.pictures(client, device, when)
    known = kept is None or when.end > kept
    try:
        from sensetig.report.page import Content, render

        say("drawing the charts")
        page = render(Content(device, when, now, sentences, rules, pictures, known, drawn))
    except ModuleNotFoundError as error:
        raise ReportError(f"{_MISSING} ({error.name} is not there)") from None
    if wanted.kind == "html":
        return Made(page.encode(), text, words)
    say(f"printing the {wanted.kind.upper()}")
    return Made((as_pdf if wanted.kind == "pdf" else as_png)(page), text, words)


def _boards(keys: Sequence[str]) -> list[panels.Board]:
    boards = panels.read(bundle.root() / "grafana" / "dashboards")
    there = [board.key for board in boards]
    for key in keys:
        if key not in there:
            raise ReportError(f"there is no dashboard {key!r} of one device; there are {', '.join(there)}")
    return [board for board in boards if not keys or board.key in keys]


def _kept_since(now: datetime) -> datetime | None:
    """The start of the data retained in the bucket ``raw``; None if it keeps them forever."""
    days = raw_kept_days()
    return now - timedelta(days=days) if days else None


def _rules() -> list[Rule]:
    try:
        return alerts.read(bundle.root() / "grafana" / "provisioning" / "alerting")
    except ModuleNotFoundError as error:
        raise ReportError(f"{_MISSING} ({error.name} is not there)") from None


def short_period(begin: datetime, now: datetime) -> Period:
    """A period for a demo of minutes, with steps for its interval of 2 s and short charts."""
    return period(begin, now, now, raw_kept_days=0, bucket="raw")._replace(step=5)


def short_report(url: str, token: str, folder: Path, begin: datetime, now: datetime) -> list[Path]:
    """Make the demo's report on its run: a page for each device that has written since it began.

    Args:
        url, token: InfluxDB, and a token that may read.
        folder: receives the pages; created if missing.
        begin, now: with their time zone, which is also the pages'.

    Raises:
        ReportError, InfluxDBError: nothing can be queried, drawn or written.
    """
    client = Client(url, token)
    there = store.ReportStore(folder)
    span = short_period(begin, now)
    pages = []
    for device in hosts(client):
        try:
            made = make(client, Wanted(device, span), now)
        except NoData:
            continue  # a device of an earlier demo, whose data is still in the folder
        pages.append(there.add(store.name(device, begin, now, "html"), made.content))
    there.tidy(20)
    return pages
