"""The bundle's configuration, definitions and dashboards, in the checkout or in the wheel."""

from __future__ import annotations

from pathlib import Path


def root() -> Path:
    """The folder that holds ``telegraf``, ``influxdb`` and ``grafana``: the checkout, or the wheel's copy of it."""
    here = Path(__file__).resolve().parent
    for folder in (here.parent, here / "bundle"):
        if (folder / "telegraf" / "telegraf.conf").is_file():
            return folder
    raise FileNotFoundError(
        f"the bundle's configuration is not next to {here}: install sensetig from its checkout or from its wheel"
    )
