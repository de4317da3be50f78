"""Telegraf with the bundle's configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from sensetig.demo.testbed import processes


def start(
    telegraf: Path, bundle: Path, environment: Mapping[str, str], log: Path, *, added: Iterable[Path] = ()
) -> processes.Identity:
    """Start Telegraf with ``telegraf.conf`` and every snippet; the collectors run with this Python.

    Args:
        telegraf: the program.
        bundle: the folder that holds ``telegraf/``.
        environment: the variables for the configuration, including the token.
        log: receives its output.
        added: further configuration files, such as tags for all points, or one of ``telegraf/hub``.
    """
    command: list[str | Path] = [
        telegraf,
        "--strict-env-handling",
        "--config",
        bundle / "telegraf" / "telegraf.conf",
        "--config-directory",
        bundle / "telegraf" / "telegraf.d",
    ]
    for file in added:
        command += ["--config", file]
    return processes.start(
        "Telegraf", command, log=log, environment={"SENSETIG_PYTHON": sys.executable, **environment}, folder=bundle
    )
