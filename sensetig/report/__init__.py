"""Reports: one period of one device in words, charts and pictures, straight from InfluxDB."""

from __future__ import annotations

from sensetig.report.errors import ReportError
from sensetig.report.maker import Wanted, make, short_report

__all__ = ["ReportError", "Wanted", "make", "short_report"]
