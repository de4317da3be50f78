"""Other formats of the report: the numbers as CSV, and the page as PDF or PNG through an installed Chromium."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sensetig.errors import ReportError
from sensetig.report.lines import Drawn
from sensetig.report.panels import Board
from sensetig.report.text import csv_cell, printable

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Seconds allowed for the browser, for a full page on a Pi.
_TIMEOUT_SECONDS = 180

#: Width of a PNG, and the maximum height that Chromium can draw.
_WIDTH, _MAX_HEIGHT = 1400, 16_000

COLUMNS = ("device", "time", "dashboard", "panel", "series", "unit", "value")


def as_csv(device: str, boards: Sequence[tuple[Board, list[Drawn]]]) -> str:
    """One row per value, with its time in UTC; a gap has no row. No text is a formula for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(device, boards))
    return text.getvalue()


def _rows(device: str, boards: Sequence[tuple[Board, list[Drawn]]]) -> Iterator[tuple[str, ...]]:
    for board, panels in boards:
        for drawn in panels:
            unit = str(drawn.panel.defaults.get("unit", ""))
            for line in drawn.lines:
                for time, value in zip(line.times, line.values, strict=True):
                    if value is not None:
                        when = datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                        texts = (device, when, board.title, drawn.panel.title, line.name, unit)
                        yield (*(csv_cell(printable(each)) for each in texts), repr(value))


def browser() -> str:
    """The installed Chromium. Raises ReportError if there is none."""
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise ReportError(
            "a PDF or PNG is printed by Chromium, and none is installed: run sudo apt install chromium, or take "
            "--format html, which any browser prints"
        )
    return found


def as_pdf(page: str) -> bytes:
    """Print the page with Chromium. Raises ReportError."""
    with tempfile.TemporaryDirectory(prefix="sensetig-report-") as folder:
        target = Path(folder) / "report.pdf"
        _browse(
            Path(folder), page, f"--print-to-pdf={target}", "--no-pdf-header-footer", "--generate-pdf-document-outline"
        )
        return _made(target)


def as_png(page: str) -> bytes:
    """The whole page as a picture. Raises ReportError, also if the page is too high."""
    with tempfile.TemporaryDirectory(prefix="sensetig-report-") as folder:
        target = Path(folder) / "report.png"
        # The page itself permits no script; only this copy measures its height.
        measured = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace(
            "</body>",
            "<script>document.title = 'height=' + document.documentElement.scrollHeight</script></body>",
        )
        told = re.search(
            r"<title>height=(\d+)", _browse(Path(folder), measured, f"--window-size={_WIDTH},800", "--dump-dom")
        )
        if told is None:
            raise ReportError("Chromium did not say how high the page is; take --format pdf or html")
        height = int(told[1])
        if height > _MAX_HEIGHT:
            raise ReportError(
                f"the page is {height} pixels high, and a PNG can have {_MAX_HEIGHT}; name fewer dashboards with "
                "--dashboard, or take --format pdf"
            )
        _browse(Path(folder), page, f"--window-size={_WIDTH},{height}", f"--screenshot={target}", "--hide-scrollbars")
        return _made(target)


def _browse(folder: Path, page: str, *arguments: str) -> str:
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    # Chromium keeps its sandbox, except as root, where it refuses to start with one.
    unboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [
        browser(), "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}",
        *unboxed, *arguments, file.as_uri(),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ReportError(f"Chromium took longer than {_TIMEOUT_SECONDS} s over the page; take --format html") from None
    except OSError as error:
        raise ReportError(f"Chromium cannot be started: {error.strerror}; take --format html") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ReportError(f"Chromium failed with status {done.returncode} and said: {last}; take --format html")
    return done.stdout


def _made(target: Path) -> bytes:
    try:
        return target.read_bytes()
    except FileNotFoundError:
        raise ReportError("Chromium ended and left no file; take --format html") from None
