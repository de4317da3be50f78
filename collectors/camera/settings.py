"""All settings of the camera collector, and the two groups of them that the detection is configured with.

Imports neither numpy nor OpenCV, so that commands and documentation can read the declarations cheaply.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from collectors.camera.masks import Polygon, parse_polygons
from collectors.camera.schedule import Period, parse_schedule
from collectors.core.api import Unavailable
from collectors.core.settings import Setting, Values

# --- Source ---

BACKEND = Setting(
    "backend",
    str,
    "auto",
    "Where frames come from; auto takes the source, or the first camera found.",
    choices=("auto", "picamera2", "opencv", "simulated"),
)
SOURCE: Setting[str | None] = Setting(
    "source", str, None, "A video file, a device (/dev/video0, or its number), or a URL (rtsp, http)."
)
RTSP_TRANSPORT = Setting(
    "rtsp_transport",
    str,
    "tcp",
    "How an RTSP camera sends its video; tcp loses no packets, and udp suits cameras that cannot send over tcp.",
    choices=("tcp", "udp", "udp_multicast", "http", "https"),
)
NAME: Setting[str | None] = Setting(
    "name", str, None, "Name of the camera, its tag; derived from the source by default."
)
SYS_ROOT = Setting("sys_root", str, "/sys", "Where sysfs is mounted, which lists the devices.")
WIDTH = Setting("width", int, 640, "Width requested from a device, in pixels.", low=64, high=8192)
HEIGHT = Setting("height", int, 480, "Height requested from a device, in pixels.", low=48, high=8192)
FRAME_RATE = Setting(
    "frame_rate",
    float,
    10.0,
    "Frames per second taken from a device, a stream or a simulated scene; a file has its own rate.",
    low=0.1,
    high=120,
)
TIMEOUT_SECONDS = Setting(
    "timeout_seconds", float, 10.0, "Maximum time without a frame from a device or a stream.", low=1, high=60
)
RECONNECT_SECONDS = Setting(
    "reconnect_seconds",
    float,
    60.0,
    "Maximum delay between attempts to reopen a lost camera or stream; 0 ends the collector instead.",
    low=0,
    high=3600,
)
PACE = Setting(
    "pace",
    float,
    1.0,
    "Playback speed of a file or a simulated scene; 2 is twice as fast as recorded, 0 is as fast as possible.",
    low=0,
    high=1000,
)
FILE_FRAME_RATE = Setting(
    "file_frame_rate",
    float,
    0.0,
    "Frame rate of a file that states none, such as a raw .h264 file; 0 assumes 25 per second, and logs that.",
    low=0,
    high=1000,
)
REPEAT = Setting("repeat", bool, False, "Whether to restart a file at its end instead of ending the collector.")
FRAMES = Setting("frames", int, 0, "Number of frames after which to end; 0 is no limit.", low=0)
SCENE = Setting(
    "scene",
    str,
    "mixed",
    "Scene that the simulated backend plays.",
    choices=("mixed", "person", "light", "rain", "dusk", "shake", "covered", "frozen"),
)
SEED = Setting("seed", int, 1, "Seed of the simulated scene.", low=0)

# --- CSI camera ---

CAMERA_NUMBER = Setting("camera_number", int, 0, "Index of the camera in the list of libcamera.", low=0, high=15)
MAIN_WIDTH = Setting(
    "main_width", int, 0, "Width of a CSI camera's photos and clips; 0 selects the width by model.", low=0, high=1920
)
MAIN_HEIGHT = Setting(
    "main_height", int, 0, "Height of a CSI camera's photos and clips; 0 selects the height by model.", low=0, high=1920
)
ROTATE = Setting(
    "rotate",
    int,
    0,
    "Clockwise turn of pictures in degrees: 0, 90, 180 or 270, such as 90 for a camera on its side.",
    low=0,
    high=270,
)
UPSIDE_DOWN = Setting("upside_down", bool, False, "Whether a CSI camera is mounted upside down.")
AUTOFOCUS = Setting(
    "autofocus",
    str,
    "auto",
    "Focus of a CSI camera; auto is continuous where the lens can move.",
    choices=("auto", "continuous", "off"),
)
FOCUS_METRES = Setting(
    "focus_metres", float, 0.0, "Fixed focus distance, with autofocus off; 0 is infinity.", low=0, high=100
)
EXPOSURE_VALUE = Setting(
    "exposure_value", float, 0.0, "Exposure compensation of a CSI camera, in stops.", low=-8, high=8
)
EXPOSURE_SECONDS = Setting(
    "exposure_seconds", float, 0.0, "Fixed exposure time of a CSI camera; 0 is automatic.", low=0, high=10
)
GAIN = Setting("gain", float, 0.0, "Fixed gain of a CSI camera; 0 is automatic.", low=0, high=64)

# --- Detection ---

DETECT_WIDTH = Setting(
    "detect_width", int, 160, "Approximate width of the image used for detection, in pixels.", low=64, high=1920
)
MIN_AREA_PERCENT = Setting(
    "min_area_percent", float, 0.5, "Minimum share of the image that must move.", low=0.01, high=50
)
WARM_UP_SECONDS = Setting(
    "warm_up_seconds", float, 2.0, "Time to learn the background before detection starts.", low=0, high=60
)
LIGHT_SWITCH_PERCENT = Setting(
    "light_switch_percent",
    float,
    50.0,
    "Share of the image that must change at once to count as a switched light.",
    low=5,
    high=100,
)
NOISE_FACTOR = Setting(
    "noise_factor",
    float,
    5.0,
    "Minimum difference of a changed pixel, in multiples of the image noise.",
    low=1,
    high=50,
)
LEAST_DIFFERENCE = Setting(
    "least_difference",
    float,
    12.0,
    "Minimum difference of a changed pixel in grey levels (of 255), whatever the noise.",
    low=1,
    high=254,
)
BACKGROUND_SECONDS = Setting(
    "background_seconds",
    float,
    20.0,
    "Time constant of the background for lasting changes.",
    low=0.5,
    high=3600,
)
MASK = Setting(
    "mask",
    str,
    "",
    "Areas to ignore: corners in percent, such as 0,0 50,0 50,30; separate polygons with semicolons.",
)
PRIVACY_MASK = Setting(
    "privacy_mask",
    str,
    "",
    "Areas that are black in everything that is stored, shown or sent, and ignored; written as `mask` is.",
)
SCHEDULE = Setting(
    "schedule",
    str,
    "",
    "When to detect motion, in this machine's time zone, such as mon-fri 18:00-07:00; sat,sun; always by default.",
)
SHAKE_PERCENT = Setting(
    "shake_percent",
    float,
    5.0,
    "Maximum camera shake that is not counted as motion, in percent of the image width; 0 disables it.",
    low=0,
    high=20,
)
COVERED_SECONDS = Setting(
    "covered_seconds",
    float,
    5.0,
    "Time without image detail after which the lens counts as covered; 0 disables the alarm.",
    low=0,
    high=3600,
)
FROZEN_SECONDS = Setting(
    "frozen_seconds",
    float,
    30.0,
    "Time with identical frames after which the camera counts as frozen; 0 disables the alarm.",
    low=0,
    high=3600,
)

# --- Events and status ---

CONSECUTIVE_FRAMES = Setting(
    "consecutive_frames", int, 3, "Number of consecutive frames with motion that start an event.", low=1, high=100
)
EVENT_GAP_SECONDS = Setting(
    "event_gap_seconds", float, 10.0, "Time without motion that ends an event.", low=0.1, high=3600
)
STATUS_SECONDS = Setting("status_seconds", float, 10.0, "Interval of the status.", low=1, high=3600)
THUMBNAIL_WIDTH = Setting(
    "thumbnail_width",
    int,
    240,
    "Maximum width of a thumbnail, in pixels; it shrinks to fit 12 KiB.",
    low=32,
    high=640,
)

# --- Media ---

MEDIA_DIR: Setting[str | None] = Setting(
    "media_dir", str, None, "Folder for snapshots and clips, one per camera; unset, none are kept."
)
MEDIA_MEGABYTES = Setting(
    "media_megabytes", int, 2000, "Maximum size of all media, in MB; the oldest are deleted first.", low=1
)
MEDIA_DAYS = Setting("media_days", int, 30, "Maximum age of media, in days.", low=1, high=36500)
CLIPS = Setting("clips", bool, True, "Whether to record clips in addition to snapshots.")
CLIP_ENCODER = Setting(
    "clip_encoder", str, "libx264", "FFmpeg's name of the H.264 encoder that PyAV uses, such as h264_v4l2m2m."
)
CLIP_SECONDS_MOST = Setting(
    "clip_seconds_most", float, 120.0, "Maximum length of a clip, however long the motion lasts.", low=1, high=3600
)
PRE_CAPTURE_SECONDS = Setting(
    "pre_capture_seconds", float, 3.0, "Time before the motion that a clip includes.", low=0, high=60
)
POST_CAPTURE_SECONDS = Setting(
    "post_capture_seconds", float, 3.0, "Time after the last motion that a clip includes.", low=0, high=600
)
PRE_CAPTURE_MEGABYTES = Setting(
    "pre_capture_megabytes",
    int,
    32,
    "Maximum memory for frames before the motion and frames waiting to be encoded, in MB.",
    low=1,
    high=1024,
)

# --- Control over HTTP ---

CONTROL_PORT = Setting("control_port", int, 0, "Port of the HTTP control; 0 disables it.", low=0, high=65535)
CONTROL_HOST = Setting(
    "control_host",
    str,
    "127.0.0.1",
    "Address that the HTTP control listens on; an address beyond loopback needs a token and a certificate.",
)
CONTROL_TOKEN_FILE: Setting[str | None] = Setting(
    "control_token_file", str, None, "File with the token of HTTP requests; readable by its owner only (0600)."
)
CONTROL_CERTIFICATE: Setting[str | None] = Setting(
    "control_certificate", str, None, "File with the certificate chain (PEM) of the HTTP control."
)
CONTROL_KEY: Setting[str | None] = Setting("control_key", str, None, "File with the certificate's private key (PEM).")
CONTROL_TUNE = Setting(
    "control_tune",
    bool,
    False,
    "Whether the HTTP control has the page /tune, on which detection settings are tried, used and saved.",
)
STREAMS_MOST = Setting("streams_most", int, 2, "Maximum number of viewers of the live stream.", low=1, high=16)
STREAM_FRAME_RATE = Setting(
    "stream_frame_rate", float, 10.0, "Maximum frame rate of the live stream, per second.", low=0.1, high=60
)

# --- Control over MQTT ---

COMMAND_URL: Setting[str | None] = Setting(
    "command_url",
    str,
    None,
    "MQTT broker for commands (mqtt://user@127.0.0.1, mqtts://user@host); unset, no commands are accepted.",
)
COMMAND_PASSWORD_FILE: Setting[str | None] = Setting(
    "command_password_file", str, None, "File with the password for that broker; readable by its owner only (0600)."
)
COMMAND_CA_FILE: Setting[str | None] = Setting(
    "command_ca_file",
    str,
    None,
    "CA certificates (PEM) to verify that broker with; by default the system's and this hub's.",
)
COMMAND_DEVICE: Setting[str | None] = Setting(
    "command_device", str, None, "Name of the device in the topics; the host name by default."
)
COMMAND_ALLOW = Setting(
    "command_allow",
    str,
    "camera_ping,camera_photo,camera_video,camera_detection",
    "Allowed commands, separated by commas.",
)
COMMAND_IDS_FILE = Setting(
    "command_ids_file",
    str,
    "/var/lib/sensetig/camera/command-ids.json",
    "File that stores command ids until they expire; its folder is created.",
)

# --- Publishing to the collector vision ---

PUBLISH_URL: Setting[str | None] = Setting(
    "publish_url",
    str,
    None,
    "MQTT broker that receives event images for the collector vision: mqtt://[USER@]HOST[:PORT], or mqtts://.",
)
PUBLISH_PASSWORD_FILE: Setting[str | None] = Setting(
    "publish_password_file", str, None, "File whose first line is the password for that broker."
)
PUBLISH_CA_FILE: Setting[str | None] = Setting(
    "publish_ca_file",
    str,
    None,
    "CA certificates (PEM) to verify that broker with; by default the system's and this hub's.",
)
PUBLISH_AT = Setting(
    "publish_at",
    str,
    "both",
    "Whether to publish the image at the start of an event, the best image at its end, or both.",
    choices=("start", "end", "both"),
)
PUBLISH_QUEUE = Setting(
    "publish_queue",
    int,
    16,
    "Maximum number of images waiting for the broker; further ones are dropped.",
    low=1,
    high=200,
)

#: Every setting declared above, in that order.
SETTINGS: tuple[Setting[Any], ...] = tuple(value for value in globals().values() if isinstance(value, Setting))


# A field of the following two has the name, type and default of the setting it is read from.


class DetectorConfig(NamedTuple):
    """The detector's criteria for motion."""

    detect_width: int = DETECT_WIDTH.default
    min_area_percent: float = MIN_AREA_PERCENT.default
    warm_up_seconds: float = WARM_UP_SECONDS.default
    light_switch_percent: float = LIGHT_SWITCH_PERCENT.default
    noise_factor: float = NOISE_FACTOR.default
    least_difference: float = LEAST_DIFFERENCE.default
    background_seconds: float = BACKGROUND_SECONDS.default
    mask: tuple[Polygon, ...] = ()
    shake_percent: float = SHAKE_PERCENT.default
    covered_seconds: float = COVERED_SECONDS.default
    frozen_seconds: float = FROZEN_SECONDS.default


class Config(NamedTuple):
    """How the collector processes the frames of its backend."""

    detector: DetectorConfig = DetectorConfig()
    consecutive_frames: int = CONSECUTIVE_FRAMES.default
    event_gap_seconds: float = EVENT_GAP_SECONDS.default
    status_seconds: float = STATUS_SECONDS.default
    thumbnail_width: int = THUMBNAIL_WIDTH.default
    frames: int = FRAMES.default
    repeat: bool = REPEAT.default
    schedule: tuple[Period, ...] = ()


def load_config(values: Values) -> Config:
    """The configuration that the settings describe. Raises Unavailable for an invalid mask or schedule."""
    given = {setting.name: values[setting] for setting in SETTINGS}
    given["mask"] = parse_polygons(given["mask"]) + parse_polygons(given["privacy_mask"])
    given["schedule"] = parse_schedule(given["schedule"])
    given["detector"] = DetectorConfig(**{name: given[name] for name in DetectorConfig._fields})
    return Config(**{name: given[name] for name in Config._fields})


#: Settings of detection that can be tried out without writing them into the settings file.
TUNABLE: tuple[Setting[Any], ...] = (
    MIN_AREA_PERCENT,
    LEAST_DIFFERENCE,
    NOISE_FACTOR,
    LIGHT_SWITCH_PERCENT,
    BACKGROUND_SECONDS,
    WARM_UP_SECONDS,
    SHAKE_PERCENT,
    DETECT_WIDTH,
    MASK,
)


def rotation(values: Values) -> int:
    """The clockwise rotation of pictures in degrees. Raises Unavailable unless it is a multiple of 90."""
    degrees = values[ROTATE]
    if degrees % 90:
        raise Unavailable(f"rotate is {degrees}; it must be 0, 90, 180 or 270")
    return degrees


def control_enabled(values: Values) -> bool:
    """Whether the settings enable control over HTTP or MQTT."""
    return bool(values[CONTROL_PORT]) or values[COMMAND_URL] is not None


def uses_large_pictures(values: Values) -> bool:
    """Whether anything but detection and thumbnails uses the pictures: files, control, or the collector vision."""
    return values[MEDIA_DIR] is not None or values[PUBLISH_URL] is not None or control_enabled(values)
