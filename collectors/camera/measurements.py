"""Measurements of the camera collector."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

_TAGS = (
    Tag("camera", "Name of the camera: the setting `name`, or derived from its source."),
    Tag("simulated", "`true` if the frames are simulated.", optional=True),
    Tag("replayed", "`true` if the frames come from a file.", optional=True),
)

CAMERA = Measurement(
    "camera",
    "Status of the camera and of motion detection, every `status_seconds`.",
    _TAGS,
    (
        Field("frames", int, "", "Frames processed since the last status.", 0),
        Field("frames_per_second", float, "", "Frames per second since the last status.", 0),
        Field(
            "dropped",
            int,
            "",
            "Frames dropped since the last status, because processing was too slow.",
            0,
        ),
        Field(
            "damaged",
            int,
            "",
            "Damaged frames since the last status, such as by packet loss; only large motion is detected in them.",
            0,
        ),
        Field("detection", bool, "", "Whether motion detection is on; a command can switch it off and on."),
        Field(
            "motion_percent",
            float,
            "percent",
            "Largest share of a frame that differed from the background since the last status.",
            0,
            100,
        ),
        Field(
            "processing_seconds",
            float,
            "seconds",
            "Mean processing time of a decoded frame since the last status.",
            0,
        ),
        Field(
            "blind_seconds",
            float,
            "seconds",
            "Time since the last status without motion detection: the background was being learned, or the "
            "whole image changed.",
            0,
        ),
        Field("brightness_percent", float, "percent", "Mean brightness of the last frame.", 0, 100),
        Field("covered", bool, "", "Whether the image has been dark or without detail for `covered_seconds`."),
        Field("frozen", bool, "", "Whether frames have been identical for `frozen_seconds`."),
        Field(
            "shake_percent",
            float,
            "percent",
            "Largest camera shake since the last status, in percent of the image width.",
            0,
            100,
        ),
        Field(
            "exposure_seconds",
            float,
            "seconds",
            "Exposure time of the newest frame; CSI camera only.",
            0,
        ),
        Field("gain", float, "", "Gain of the newest frame; CSI camera only.", 0),
    ),
)

CAMERA_EVENT = Measurement(
    "camera_event",
    "Motion event: two points with the same event id, one at its start and one at its end.",
    (*_TAGS, Tag("kind", "`start`, with the time of the first frame with motion, or `end`, with that of the last.")),
    (
        Field("event_id", str, "", "Start in UTC and the camera's name: unique, sorts by time, valid in a path."),
        Field("start_seconds", float, "seconds", "Time of the first frame with motion, since 1970-01-01 UTC.", 0),
        Field(
            "duration_seconds", float, "seconds", "From the first to the last frame with motion; at the end only.", 0
        ),
        Field(
            "score",
            float,
            "",
            "Mean difference of the moving pixels from the background, in multiples of the threshold; maximum so far.",
            0,
        ),
        Field(
            "area_percent",
            float,
            "percent",
            "Share of the image that moves; maximum so far, confirmed by the frame before or after.",
            0,
            100,
        ),
        Field("box_left_percent", float, "percent", "Left edge of the motion, at its largest area.", 0, 100),
        Field("box_top_percent", float, "percent", "Top edge of the motion, at its largest area.", 0, 100),
        Field("box_width_percent", float, "percent", "Width of the motion, at its largest area.", 0, 100),
        Field("box_height_percent", float, "percent", "Height of the motion, at its largest area.", 0, 100),
        Field("frames", int, "", "Number of frames with motion; at the end only.", 1),
        Field(
            "interrupted",
            bool,
            "",
            "Whether frames or detection stopped, so that the motion may have lasted longer; at the end only.",
        ),
        Field("snapshot_path", str, "", "Path of the best snapshot, below `media_dir`; at the end only."),
        Field("clip_path", str, "", "Path of the clip, below `media_dir`; at the end only."),
        Field("thumbnail", str, "", "Frame with the largest area, as the data URI of a JPEG of at most 12 KiB."),
    ),
    event=True,
)
