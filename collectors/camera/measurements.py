"""What the camera collector emits."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

_TAGS = (
    Tag("camera", "The camera's name: the setting `name`, or what its source is called."),
    Tag("simulated", "`true` where the pictures are drawn by a script.", optional=True),
    Tag("replayed", "`true` where the pictures come from a file.", optional=True),
)

CAMERA = Measurement(
    "camera",
    "How the camera and the detection of motion fare, every `status_seconds`.",
    _TAGS,
    (
        Field("frames", int, "", "Pictures looked at since the last status.", 0),
        Field("frames_per_second", float, "", "Pictures a second since the last status.", 0),
        Field("dropped", int, "", "Pictures that came faster than they could be looked at, since the last status.", 0),
        Field("detection", bool, "", "Whether motion is looked for; a command can switch it off and on."),
        Field(
            "motion_percent",
            float,
            "percent",
            "Largest share of one picture that differed from the background since the last status.",
            0,
            100,
        ),
        Field(
            "processing_seconds",
            float,
            "seconds",
            "Mean time from a decoded picture to its result, since the last status.",
            0,
        ),
        Field("brightness_percent", float, "percent", "Mean brightness of the last picture.", 0, 100),
        Field("covered", bool, "", "Whether the picture has been dark or without detail for `covered_seconds`."),
        Field("frozen", bool, "", "Whether pictures have been identical for `frozen_seconds`."),
        Field(
            "shake_percent",
            float,
            "percent",
            "How far the camera has shaken, in per cent of the picture's width: the most since the last status.",
            0,
            100,
        ),
        Field(
            "exposure_seconds",
            float,
            "seconds",
            "For how long the newest picture was exposed; from a ribbon camera only.",
            0,
        ),
        Field("gain", float, "", "By how much the newest picture was amplified; from a ribbon camera only.", 0),
    ),
)

CAMERA_EVENT = Measurement(
    "camera_event",
    "One motion event is two points with the same event id: when it starts, and when it has ended.",
    (*_TAGS, Tag("kind", "`start`, timed at the first frame with motion, or `end`, timed at the last.")),
    (
        Field("event_id", str, "", "Start in UTC and the camera's name: unique, in the order of time, fit for a path."),
        Field("start_seconds", float, "seconds", "Time of the first frame with motion, since 1970-01-01 UTC.", 0),
        Field(
            "duration_seconds", float, "seconds", "From the first to the last frame with motion; at the end only.", 0
        ),
        Field(
            "score",
            float,
            "",
            "Mean difference of what moves from the background, in multiples of the threshold: the event's highest.",
            0,
        ),
        Field("area_percent", float, "percent", "Share of the picture that moves: the event's largest.", 0, 100),
        Field("box_left_percent", float, "percent", "Left edge of what moves, where its area is largest.", 0, 100),
        Field("box_top_percent", float, "percent", "Top edge of what moves, where its area is largest.", 0, 100),
        Field("box_width_percent", float, "percent", "Width of what moves, where its area is largest.", 0, 100),
        Field("box_height_percent", float, "percent", "Height of what moves, where its area is largest.", 0, 100),
        Field("frames", int, "", "Frames with motion; at the end only.", 1),
        Field(
            "interrupted",
            bool,
            "",
            "Whether the source ended, or the collector was stopped, before the motion did; at the end only.",
        ),
        Field("snapshot_path", str, "", "The picture with the largest area, below `media_dir`; at the end only."),
        Field("clip_path", str, "", "The clip, below `media_dir`; at the end only."),
        Field("thumbnail", str, "", "The picture with the largest area, as the data URI of a JPEG of at most 12 KiB."),
    ),
    event=True,
)
