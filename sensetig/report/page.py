"""The report as a self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from collectors import __version__
from sensetig.policy import ACT, GOOD, LOOK
from sensetig.report.alerts import Alerts, together
from sensetig.report.charts import Chart, draw
from sensetig.report.lines import Drawn
from sensetig.report.narrative import (
    ALERT,
    LEVELS,
    PLAIN,
    Sentence,
    headings,
    urgent,
    verdict,
    when,
    zone,
)
from sensetig.report.numbers import duration, number
from sensetig.report.panels import Board
from sensetig.report.period import Period, said
from sensetig.report.stats import Picture
from sensetig.report.templates import template
from sensetig.report.text import MAX_NAME, MAX_TEXT, printable

#: Symbols before a sentence, in addition to its colour.
SIGNS = {ACT: ("✖", "act"), LOOK: ("▲", "look"), GOOD: ("✓", "well"), PLAIN: ("·", "")}


class Content(NamedTuple):
    """The content of a report."""

    device: str
    period: Period
    made: datetime
    sentences: list[Sentence]
    alerts: Alerts
    pictures: list[Picture]
    pictures_known: bool
    boards: list[tuple[Board, list[Drawn]]]


def render(content: Content) -> str:
    """The page."""
    period = content.period
    level, words = verdict(content.sentences)
    if not any(not drawn.empty for _, panels in content.boards for drawn in panels):
        level, words = (ACT, "No data in this period") if level == ACT else (level, words)
    return template("page.html.j2", _shown).render(
        device=content.device,
        begin=said(period.begin),
        end=said(period.end),
        lasted=duration(period.seconds),
        zone=zone(period),
        made=said(content.made),
        version=__version__,
        bucket=period.bucket,
        step=duration(period.step),
        level=level,
        verdict=words,
        signs=SIGNS,
        urgent=urgent(content.sentences),
        headings=headings(
            [each for each in content.sentences if each.level in (GOOD, PLAIN) and each.heading != ALERT]
        ),
        alerts=content.alerts,
        alert_rows=[
            (
                alert,
                LEVELS.get(alert.severity, LOOK),
                when(alert.last_ms, period),
                duration(alert.seconds) if alert.seconds >= 60 else "less than a minute",
            )
            for alert in together(content.alerts.alerts)
        ],
        every=duration(content.alerts.every_seconds) if content.alerts.every_seconds < period.seconds else "",
        alerts_since=when(content.alerts.begin_ms, period) if content.alerts.begin_ms > period.begin_ms else "",
        pictures=[_picture(each, period) for each in content.pictures],
        pictures_known=content.pictures_known,
        left_out=[(board.title, board.left_out) for board, _ in content.boards if board.left_out],
        left_out_count=sum(len(board.left_out) for board, _ in content.boards),
        sections=[_section(*each, period, index) for index, each in enumerate(content.boards) if _said(each[1])],
        empty=[board.title for board, panels in content.boards if not _said(panels)],
    )


def _shown(value: object) -> object:
    """The value as the template prints it: plain text is made printable, markup stays unchanged."""
    from markupsafe import Markup

    return printable(value, MAX_TEXT) if isinstance(value, str) and not isinstance(value, Markup) else value


def _picture(picture: Picture, period: Period) -> dict[str, str]:
    from markupsafe import escape

    told = [
        printable(picture.camera, MAX_NAME),
        when(picture.time_ms, period),
        f"intensity {number(picture.score, 'short', 1)}",
    ]
    if picture.duration_seconds is not None:
        told.append(duration(picture.duration_seconds))
    if picture.area_percent is not None:
        told.append(f"{number(picture.area_percent, 'percent')} of the picture")
    return {
        "source": escape(picture.thumbnail),
        "alt": f"What camera {told[0]} saw at {when(picture.time_ms, period)}",
        "title": told[0],
        "told": " · ".join(told[1:]),
    }


def _said(panels: Sequence[Drawn]) -> bool:
    """Whether a board has data to show, or a reason to give."""
    return any(not drawn.empty or drawn.refused for drawn in panels)


def _section(board: Board, panels: Sequence[Drawn], period: Period, index: int) -> dict[str, Any]:
    """A board: its charts, and the titles of panels without data."""
    charts: list[tuple[Drawn, Chart]] = [
        (drawn, draw(drawn, period, f"c{index}x{place}")) for place, drawn in enumerate(panels) if not drawn.empty
    ]
    return {
        "key": board.key,
        "title": board.title,
        "description": board.description,
        "charts": charts,
        "without": [drawn.panel.title for drawn in panels if drawn.empty and not drawn.refused],
        "refused": [(drawn.panel.title, drawn.refused) for drawn in panels if drawn.refused],
    }
