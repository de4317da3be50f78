"""An available engine, and the error if there is none."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sensetig.errors import OperatorError


class EngineUnavailable(OperatorError):
    """No source provides the engine; the message is one sentence with the reason and the remedy."""


class Engine(NamedTuple):
    """An engine on this machine.

    Args:
        name: its key in ``engines.toml``, such as ``telegraf``.
        version: such as ``1.39.3``.
        path: the program; for Grafana its home folder.
        source: its source, in words that complete "from ...".
    """

    name: str
    version: str
    path: Path
    source: str
