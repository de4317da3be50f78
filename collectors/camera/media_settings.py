"""Settings of what the camera keeps on disk; nothing is kept unless ``media_dir`` is set."""

from __future__ import annotations

from typing import Any

from collectors.core.settings import Setting

MEDIA_DIR: Setting[str | None] = Setting(
    "media_dir", str, None, "Where snapshots and clips are kept, one folder for one camera; unset, none are kept."
)
MEDIA_MEGABYTES = Setting(
    "media_megabytes", int, 2000, "How much the media may take in all, in MB; the oldest go first.", low=1
)
MEDIA_DAYS = Setting("media_days", int, 30, "How many days media are kept at most.", low=1, high=36500)
CLIPS = Setting("clips", bool, True, "Whether clips are recorded, besides snapshots.")
CLIP_ENCODER = Setting(
    "clip_encoder", str, "libx264", "FFmpeg's name of the H.264 encoder that PyAV uses, such as h264_v4l2m2m."
)
CLIP_SECONDS_MOST = Setting(
    "clip_seconds_most", float, 120.0, "How long one clip may be, however long the motion lasts.", low=1, high=3600
)
PRE_CAPTURE_SECONDS = Setting(
    "pre_capture_seconds", float, 3.0, "How much of the time before the motion a clip shows.", low=0, high=60
)
POST_CAPTURE_SECONDS = Setting(
    "post_capture_seconds", float, 3.0, "How much of the time after the last motion a clip shows.", low=0, high=600
)
PRE_CAPTURE_MEGABYTES = Setting(
    "pre_capture_megabytes",
    int,
    32,
    "How much memory the pictures before the motion, and those waiting to be encoded, may take, in MB.",
    low=1,
    high=1024,
)

SETTINGS: tuple[Setting[Any], ...] = (
    MEDIA_DIR,
    MEDIA_MEGABYTES,
    MEDIA_DAYS,
    CLIPS,
    CLIP_ENCODER,
    CLIP_SECONDS_MOST,
    PRE_CAPTURE_SECONDS,
    POST_CAPTURE_SECONDS,
    PRE_CAPTURE_MEGABYTES,
)
