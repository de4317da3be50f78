"""Measurements of the vision collector."""

from __future__ import annotations

from collectors.core.schema import Field, Measurement, Tag

_MODEL = Tag("model", "Name of the detector: `people`, or the setting `model`.")
_ORIGIN = (
    Tag("simulated", "`true` if the image is simulated.", optional=True),
    Tag("replayed", "`true` if the image comes from a file.", optional=True),
)

CAMERA_DETECTION = Measurement(
    "camera_detection",
    "Objects in the image of a motion event: a point for each, with the time of the event's point.",
    (
        Tag("camera", "Name of the camera, as in `camera_event`."),
        Tag("label", "Class of the object, such as `person`."),
        _MODEL,
        *_ORIGIN,
    ),
    (
        Field("event_id", str, "", "The event's id, as in `camera_event`."),
        Field("confidence", float, "", "Confidence of the model; its meaning differs between models.", 0, 1),
        Field("box_left_percent", float, "percent", "Left edge; absent if the model returns no boxes.", 0, 100),
        Field("box_top_percent", float, "percent", "Top edge; absent if the model returns no boxes.", 0, 100),
        Field("box_width_percent", float, "percent", "Width; absent if the model returns no boxes.", 0, 100),
        Field("box_height_percent", float, "percent", "Height; absent if the model returns no boxes.", 0, 100),
    ),
)

VISION = Measurement(
    "vision",
    "Status of object detection, every `status_seconds`.",
    (_MODEL,),
    (
        Field("pictures", int, "", "Images processed since the last status.", 0),
        Field("empty", int, "", "Of these, images without a detected object.", 0),
        Field("refused", int, "", "Invalid messages rejected since the last status.", 0),
        Field("failed", int, "", "Images whose detection failed since the last status; they are retried later.", 0),
        Field("repeated", int, "", "Redelivered messages that had been processed already, since the last status.", 0),
        Field("dropped", int, "", "Images dropped from the retry queue for size or age, since the last status.", 0),
        Field("kept", int, "", "Images in the retry queue now.", 0),
        Field("kept_bytes", int, "bytes", "Size of the images in the retry queue now.", 0),
        Field("breaker_open", bool, "", "Whether the circuit breaker of the endpoint is open; engine http only."),
        Field("processing_seconds", float, "seconds", "Mean processing time of an image since the last status.", 0),
    ),
)
