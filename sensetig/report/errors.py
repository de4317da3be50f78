"""What keeps a report from being made."""

from __future__ import annotations


class ReportError(Exception):
    """A report could not be made or sent; the message says in one sentence why, and what to do; it holds no secret."""
