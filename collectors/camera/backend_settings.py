"""Settings of the ribbon cable's camera, and of what happens when a camera is lost."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting

RECONNECT_SECONDS = Setting(
    "reconnect_seconds",
    float,
    60.0,
    "The longest pause between two tries to have back a camera or stream that was lost; 0 ends the collector instead.",
    low=0,
    high=3600,
)
CAMERA_NUMBER = Setting("camera_number", int, 0, "Which of the cameras that libcamera lists.", low=0, high=15)
MAIN_WIDTH = Setting(
    "main_width", int, 0, "Width of a ribbon camera's photos and clips; 0 is what suits its model.", low=0, high=1920
)
MAIN_HEIGHT = Setting(
    "main_height", int, 0, "Height of a ribbon camera's photos and clips; 0 is what suits its model.", low=0, high=1920
)
UPSIDE_DOWN = Setting("upside_down", bool, False, "Whether a ribbon camera hangs upside down.")
AUTOFOCUS = Setting(
    "autofocus",
    str,
    "auto",
    "Focus of a ribbon camera: auto is continuous where the lens can move.",
    choices=("auto", "continuous", "off"),
)
FOCUS_METRES = Setting(
    "focus_metres", float, 0.0, "Fixed distance to focus on, with autofocus off; 0 is far away.", low=0, high=100
)
EXPOSURE_VALUE = Setting(
    "exposure_value", float, 0.0, "How much brighter than the camera finds right, in stops.", low=-8, high=8
)
EXPOSURE_SECONDS = Setting(
    "exposure_seconds", float, 0.0, "Fixed time of exposure of a ribbon camera; 0 is automatic.", low=0, high=10
)
GAIN = Setting("gain", float, 0.0, "Fixed gain of a ribbon camera; 0 is automatic.", low=0, high=64)

SETTINGS: tuple[Setting[Any], ...] = (
    RECONNECT_SECONDS,
    CAMERA_NUMBER,
    MAIN_WIDTH,
    MAIN_HEIGHT,
    UPSIDE_DOWN,
    AUTOFOCUS,
    FOCUS_METRES,
    EXPOSURE_VALUE,
    EXPOSURE_SECONDS,
    GAIN,
)
