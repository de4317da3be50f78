"""The settings of the camera collector, and what the parts make of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from collectors.camera import backend_settings, control_settings, detection_settings, media_settings, publish_settings
from collectors.camera.detection_settings import SCENE as SCENE
from collectors.camera.masks import Polygon, polygons
from collectors.core.settings import Setting, Values

BACKEND = Setting(
    "backend",
    str,
    "auto",
    "Where pictures come from; auto takes the source, or the first camera found.",
    choices=("auto", "picamera2", "opencv", "simulated"),
)
SOURCE: Setting[str | None] = Setting(
    "source", str, None, "A video file, a device (/dev/video0, or its number), or a URL (rtsp, http)."
)
NAME: Setting[str | None] = Setting("name", str, None, "The camera's name, its tag; by default after its source.")

SYS_ROOT = Setting("sys_root", str, "/sys", "Where sysfs is, which lists the devices.")

WIDTH = Setting("width", int, 640, "Width asked of a device, in pixels.", low=64, high=8192)
HEIGHT = Setting("height", int, 480, "Height asked of a device, in pixels.", low=48, high=8192)
FRAME_RATE = Setting(
    "frame_rate",
    float,
    10.0,
    "Pictures a second taken from a device or a stream, or simulated; a file has its own.",
    low=0.1,
    high=120,
)
TIMEOUT_SECONDS = Setting(
    "timeout_seconds", float, 10.0, "How long a device or a stream may give no picture.", low=1, high=60
)

PACE = Setting(
    "pace",
    float,
    1.0,
    "How many times faster than recorded a file is played, or a scene simulated; 0 is as fast as possible.",
    low=0,
    high=1000,
)
REPEAT = Setting("repeat", bool, False, "Whether a file begins again at its end, rather than ending the collector.")
FRAMES = Setting("frames", int, 0, "End after so many pictures; 0 is no limit.", low=0)
SEED = Setting("seed", int, 1, "Which of the simulated scenes is played.", low=0)

STATUS_SECONDS = Setting("status_seconds", float, 10.0, "How often the status is emitted.", low=1, high=3600)
DETECT_WIDTH = Setting(
    "detect_width",
    int,
    160,
    "About how wide the picture is that motion is looked for in, in pixels.",
    low=64,
    high=1920,
)
MIN_AREA_PERCENT = Setting("min_area_percent", float, 0.5, "Share of the picture that has to move.", low=0.01, high=50)
CONSECUTIVE_FRAMES = Setting(
    "consecutive_frames", int, 3, "How many frames in a row need motion for an event to start.", low=1, high=100
)
EVENT_GAP_SECONDS = Setting(
    "event_gap_seconds", float, 10.0, "How long nothing may move until an event has ended.", low=0.1, high=3600
)
WARM_UP_SECONDS = Setting(
    "warm_up_seconds", float, 2.0, "How long the background is learned before motion is looked for.", low=0, high=60
)
LIGHT_SWITCH_PERCENT = Setting(
    "light_switch_percent",
    float,
    50.0,
    "Share of the picture that, changed at once, means that the light was switched.",
    low=5,
    high=100,
)
NOISE_FACTOR = Setting(
    "noise_factor",
    float,
    5.0,
    "How many times the noise of the picture a pixel has to differ to count as changed.",
    low=1,
    high=50,
)
LEAST_DIFFERENCE = Setting(
    "least_difference",
    float,
    12.0,
    "How many of 255 grey levels a pixel has to differ at least, however little noise there is.",
    low=1,
    high=254,
)
BACKGROUND_SECONDS = Setting(
    "background_seconds", float, 20.0, "How fast the background follows what stays.", low=0.5, high=3600
)
THUMBNAIL_WIDTH = Setting(
    "thumbnail_width", int, 240, "Width of a thumbnail at most, in pixels; it shrinks to fit 12 KiB.", low=32, high=640
)

SETTINGS: tuple[Setting[Any], ...] = (
    BACKEND,
    SOURCE,
    NAME,
    SYS_ROOT,
    WIDTH,
    HEIGHT,
    FRAME_RATE,
    TIMEOUT_SECONDS,
    PACE,
    REPEAT,
    FRAMES,
    SEED,
    STATUS_SECONDS,
    DETECT_WIDTH,
    MIN_AREA_PERCENT,
    CONSECUTIVE_FRAMES,
    EVENT_GAP_SECONDS,
    WARM_UP_SECONDS,
    LIGHT_SWITCH_PERCENT,
    NOISE_FACTOR,
    LEAST_DIFFERENCE,
    BACKGROUND_SECONDS,
    THUMBNAIL_WIDTH,
    *detection_settings.SETTINGS,
    *media_settings.SETTINGS,
    *backend_settings.SETTINGS,
    *control_settings.SETTINGS,
    *publish_settings.SETTINGS,
)


class Sensitivity(NamedTuple):
    """What the detector takes for motion. Units are in the names; the settings say what each means."""

    width: int = DETECT_WIDTH.default
    min_area_percent: float = MIN_AREA_PERCENT.default
    warm_up_seconds: float = WARM_UP_SECONDS.default
    light_switch_percent: float = LIGHT_SWITCH_PERCENT.default
    noise_factor: float = NOISE_FACTOR.default
    least_difference: float = LEAST_DIFFERENCE.default
    background_seconds: float = BACKGROUND_SECONDS.default
    mask: tuple[Polygon, ...] = ()
    shake_percent: float = detection_settings.SHAKE_PERCENT.default
    covered_seconds: float = detection_settings.COVERED_SECONDS.default
    frozen_seconds: float = detection_settings.FROZEN_SECONDS.default


class Plan(NamedTuple):
    """All that the collector does with the pictures of its backend."""

    sensitivity: Sensitivity = Sensitivity()
    consecutive_frames: int = CONSECUTIVE_FRAMES.default
    event_gap_seconds: float = EVENT_GAP_SECONDS.default
    status_seconds: float = STATUS_SECONDS.default
    thumbnail_width: int = THUMBNAIL_WIDTH.default
    frames: int = FRAMES.default
    repeat: bool = REPEAT.default


def plan(values: Values) -> Plan:
    """What the settings ask for. Raises Unavailable for a mask that is none."""
    return Plan(
        Sensitivity(
            width=values[DETECT_WIDTH],
            min_area_percent=values[MIN_AREA_PERCENT],
            warm_up_seconds=values[WARM_UP_SECONDS],
            light_switch_percent=values[LIGHT_SWITCH_PERCENT],
            noise_factor=values[NOISE_FACTOR],
            least_difference=values[LEAST_DIFFERENCE],
            background_seconds=values[BACKGROUND_SECONDS],
            mask=polygons(values[detection_settings.MASK]),
            shake_percent=values[detection_settings.SHAKE_PERCENT],
            covered_seconds=values[detection_settings.COVERED_SECONDS],
            frozen_seconds=values[detection_settings.FROZEN_SECONDS],
        ),
        consecutive_frames=values[CONSECUTIVE_FRAMES],
        event_gap_seconds=values[EVENT_GAP_SECONDS],
        status_seconds=values[STATUS_SECONDS],
        thumbnail_width=values[THUMBNAIL_WIDTH],
        frames=values[FRAMES],
        repeat=values[REPEAT],
    )
