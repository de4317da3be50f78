"""What the vision collector emits."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

_MODEL = Tag("model", "What looked at the picture: `people`, or the setting `model`.")
_ORIGIN = (
    Tag("simulated", "`true` where the picture was drawn by a script.", optional=True),
    Tag("replayed", "`true` where the picture comes from a file.", optional=True),
)

CAMERA_DETECTION = Measurement(
    "camera_detection",
    "What is in the picture of a motion event: a point for each thing that was found, timed at the event's point.",
    (
        Tag("camera", "The camera's name, as in `camera_event`."),
        Tag("label", "What was found, such as `person`."),
        _MODEL,
        *_ORIGIN,
    ),
    (
        Field("event_id", str, "", "The event's id, as in `camera_event`."),
        Field("confidence", float, "", "How sure the model is; what it means differs from model to model.", 0, 1),
        Field("box_left_percent", float, "percent", "Left edge; absent where the model tells no place.", 0, 100),
        Field("box_top_percent", float, "percent", "Top edge; absent where the model tells no place.", 0, 100),
        Field("box_width_percent", float, "percent", "Width; absent where the model tells no place.", 0, 100),
        Field("box_height_percent", float, "percent", "Height; absent where the model tells no place.", 0, 100),
    ),
)

VISION = Measurement(
    "vision",
    "How the looking at pictures fares, every `status_seconds`.",
    (_MODEL,),
    (
        Field("pictures", int, "", "Pictures looked at since the last status.", 0),
        Field("empty", int, "", "Of these, pictures in which nothing was found.", 0),
        Field("refused", int, "", "Messages that were no picture to look at, since the last status.", 0),
        Field("failed", int, "", "Pictures that were given up for now, since the last status.", 0),
        Field("repeated", int, "", "Messages that came again after they were dealt with, since the last status.", 0),
        Field("dropped", int, "", "Kept pictures thrown away for room or age, since the last status.", 0),
        Field("kept", int, "", "Pictures kept for a later try, now.", 0),
        Field("kept_bytes", int, "bytes", "Size of the pictures kept for a later try, now.", 0),
        Field("breaker_open", bool, "", "Whether the endpoint is left alone for a while; for the engine http only."),
        Field("processing_seconds", float, "seconds", "Mean time for a picture, since the last status.", 0),
    ),
)
