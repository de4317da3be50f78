"""Names from the data in a report: none ends it, none is markup, and none is a formula in a spreadsheet."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path
from typing import Any

import pytest

from sensetig.report import panels
from sensetig.report.alerts import Alerts
from sensetig.report.charts import draw
from sensetig.report.export import as_csv
from sensetig.report.lines import Drawn
from sensetig.report.mail import SmtpConfig, message
from sensetig.report.narrative import PLAIN, Sentence, as_text
from sensetig.report.page import Content, render
from sensetig.report.text import csv_cell, printable
from tests.unit.test_report_charts import HOUR, line, panel

NAMES = [
    r"$\frac{x$ $",
    r"$\nosuch{$",
    "a$b$c",
    "$$",
    "<img src=x onerror=alert(1)>",
    "</text></svg><script>alert(1)</script>",
    "]]>",
    "<!-- x",
    "-->",
    "{{ 7*7 }}",
    "'\"--; DROP",
    "\u202eevil",
    "\x1b[31mred",
    "nul\0",
    "two\nlines",
    "\ud800",
    "名前 🌡",
    "url(#x) #fe00fe 1.23456 xlink:href",
    "x" * 60_000,
    "_hidden",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("title", ["Throttling and under-voltage", "Load"])
def test_a_chart_is_drawn_whatever_its_lines_are_called(title: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = draw(Drawn(panel(title), (line(name, 0, 1, 0, 1),), 60), HOUR, "c")
    assert len(chart.legend[0].name) <= 120
    assert chart.legend[0].name.isprintable() or "\u202f" in chart.legend[0].name
    assert "<script" not in chart.svg
    assert "<img" not in chart.svg
    assert "sensetig-label" not in chart.svg
    assert "\u202e" not in chart.svg


def test_the_name_of_a_lane_is_drawn_as_it_is() -> None:
    chart = draw(Drawn(panel("Throttling and under-voltage"), (line("v1.23456 & $x$", 0, 1),), 60), HOUR, "c")
    assert ">v1.23456 &amp; $x$<" in chart.svg


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_page_and_its_mail_show_every_name_as_text(name: str) -> None:
    sentences = [Sentence("Camera", f"{name} saw nothing.", PLAIN)]
    board: Any = panels.Board("host", "Host", "", ())
    drawn = Drawn(panel("Load"), (line(name, 1, 2),), 60)
    page = render(Content(name, HOUR, HOUR.end, sentences, Alerts(0), [], True, [(board, [drawn])]))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    page.encode()
    text = as_text(name, HOUR, sentences)
    assert all(each.isprintable() for each in text.splitlines())
    text.encode()


def test_a_mail_s_subject_is_one_line(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.touch()
    config = SmtpConfig("mail", 25, "starttls", "", "", "pi@example.org", ("me@example.org",))
    mail = message(config, report, "hall\r\nBcc: all@example.org", "text")
    assert "Bcc" not in mail
    assert mail["Subject"] == r"hall\r\nBcc: all@example.org"


@pytest.mark.parametrize(
    "name",
    ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u200b=1", "＝1"],
)
def test_no_text_in_the_csv_is_a_formula_and_numbers_stay_numbers(name: str) -> None:
    board: Any = panels.Board("host", "Host", "", ())
    drawn = Drawn(panel("Load"), (line(name, -1.5, 2),), 60)
    rows = list(csv.reader(io.StringIO(as_csv(name, [(board, [drawn])]))))[1:]
    assert [row[-1] for row in rows] == ["-1.5", "2"]
    for row in rows:
        for cell in row[:-1]:
            assert cell.isprintable()
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "＝"))
    assert rows[0][0].startswith(("'", "\\"))


def test_ordinary_texts_are_unchanged() -> None:
    for text in ("hall", "eth0 received", "1 min", "Küche é 名前", "a=b"):
        assert csv_cell(printable(text)) == text
