"""Settings of what is left out of the detection, of the alarms, and of the simulated scenes."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting

MASK = Setting(
    "mask",
    str,
    "",
    "Areas that are left out: corners in per cent, such as 0,0 50,0 50,30; polygons with a semicolon between them.",
)
SHAKE_PERCENT = Setting(
    "shake_percent",
    float,
    5.0,
    "How far the camera may shake, in per cent of the picture's width, and that be no motion; 0 turns it off.",
    low=0,
    high=20,
)
COVERED_SECONDS = Setting(
    "covered_seconds",
    float,
    5.0,
    "How long the picture has to be without detail until the lens counts as covered; 0 turns it off.",
    low=0,
    high=3600,
)
FROZEN_SECONDS = Setting(
    "frozen_seconds",
    float,
    30.0,
    "How long pictures have to be identical until the camera counts as frozen; 0 turns it off.",
    low=0,
    high=3600,
)
SCENE = Setting(
    "scene",
    str,
    "mixed",
    "Which scene the simulated backend plays.",
    choices=("mixed", "person", "light", "rain", "dusk", "shake", "covered", "frozen"),
)

SETTINGS: tuple[Setting[Any], ...] = (MASK, SHAKE_PERCENT, COVERED_SECONDS, FROZEN_SECONDS, SCENE)
