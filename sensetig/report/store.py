"""The folder of reports: atomic writes, removal of old reports, and marks on unsent ones."""

from __future__ import annotations

import hashlib
import re
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from collectors.core.files import write_atomic
from sensetig.errors import ReportError

#: Names of reports; other files in the folder are not touched.
_NAME = re.compile(r".+_\d{8}T\d{4}_\d{8}T\d{4}\.(?:html|pdf|png|csv)")

#: Suffix of the file that marks a report as unsent.
UNSENT = ".unsent"


class Unsent(NamedTuple):
    """An unsent report, and the text of its mail, which is stored in its mark."""

    report: Path
    mark: Path
    text: str


def name(device: str, begin: datetime, end: datetime, kind: str) -> str:
    """A report's file name: safe whatever the device is called, and sorted by time.

    A modified name includes a hash of the original: two devices never share a file.
    """
    safe = re.sub(r"[^A-Za-z0-9.-]", "-", device).strip(".-")[:80] or "device"
    if safe != device:
        safe += "-" + hashlib.sha256(device.encode()).hexdigest()[:8]
    return f"{safe}_{begin:%Y%m%dT%H%M}_{end:%Y%m%dT%H%M}.{kind}"


def write(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises ReportError."""
    try:
        write_atomic(path, content, 0o640)
    except OSError as error:
        raise ReportError(f"the report {path} cannot be written: {error.strerror}") from None


def writable(folder: Path) -> None:
    """Raise ReportError, before a report is made, if its folder is not writable."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ReportError(f"no report can be written into {folder.absolute()}: {error.strerror}") from None


class ReportStore:
    """A folder of reports. Raises ReportError if it cannot be created."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise ReportError(f"the folder {folder} for reports cannot be made: {error.strerror}") from None

    def add(self, file: str, content: bytes, text: str | None = None) -> Path:
        """Write a report.

        A report with the *text* of a mail is first marked as unsent, so that an interrupted delivery is repeated next
        time.
        """
        path = self.folder / file
        if text is not None:
            write(self.folder / (file + UNSENT), text.encode())
        write(path, content)
        return path

    def unsent(self) -> list[Unsent]:
        """Unsent reports, oldest first. Removes marks without a report. Raises ReportError."""
        found = []
        for mark in sorted(self.folder.glob(f"*{UNSENT}"), key=lambda each: (each.stat().st_mtime_ns, each.name)):
            report = mark.with_name(mark.name.removesuffix(UNSENT))
            try:
                if report.is_file():
                    found.append(Unsent(report, mark, mark.read_text(encoding="utf-8")))
                else:
                    mark.unlink(missing_ok=True)
            except (OSError, UnicodeDecodeError) as error:
                raise ReportError(f"the mark {mark} of a report to be sent cannot be used: {error}") from None
        return found

    def sent(self, report: Unsent) -> None:
        """Remove the mark. Raises ReportError, because the report would be sent again."""
        try:
            report.mark.unlink(missing_ok=True)
        except OSError as error:
            raise ReportError(
                f"{report.report} was sent, but {report.mark} cannot be removed: {error.strerror}"
            ) from None

    def tidy(self, keep: int) -> tuple[list[Path], list[Path]]:
        """Remove all but the newest reports; return the removed ones, and which of them were unsent."""
        reports = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file()]
        newest = sorted(reports, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
        removed, lost = newest[keep:], []
        for path in removed:
            mark = path.with_name(path.name + UNSENT)
            if mark.exists():
                lost.append(path)
                mark.unlink()
            path.unlink()
        return removed, lost
