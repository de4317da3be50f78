"""The Camera dashboard's row of the ``vision`` collector: detections in the pictures of motion events."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.vision.measurements import CAMERA_DETECTION, VISION
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import CLOCK, Panel, lines, listing
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import gauge_cell, properties

_SOURCE = Source((CAMERA_DETECTION, VISION))

_NOTHING_FOUND = "No detection in this time range, or the collector vision is off"

_OFF = "No data of the collector vision in this time range"


def rows() -> Iterable[Row]:
    yield Row("camera", "Detections", _pictures(), order=15)


def _pictures() -> list[Panel]:
    return [
        lines(
            "Detections by label",
            "The number of detections of each label in the pictures of motion events, per interval.",
            _SOURCE.mean("camera_detection", "confidence", by=("label",), function="count", fill="0"),
            low=0,
            decimals=0,
            bars=True,
            stacked=True,
            size=(12, 7),
            no_data=_NOTHING_FOUND,
        ),
        lines(
            "Analysed pictures",
            "Pictures analysed, pictures given up for now, and messages that were not pictures, per interval. "
            "Failures: see the collector's messages in Telegraf's log.",
            _SOURCE.mean(
                "vision",
                "pictures",
                "failed",
                "refused",
                function="sum",
                names=("analysed", "failed", "rejected"),
            ),
            low=0,
            decimals=0,
            bars=True,
            colours={"analysed": "green", "failed": "red", "rejected": "orange"},
            size=(12, 7),
            no_data=_OFF,
        ),
        lines(
            "Analysis time",
            "Mean time to analyse one picture, with its pauses and retries. Above the time between events, pictures "
            "wait at the broker.",
            _SOURCE.mean("vision", "processing_seconds", by=("model",)),
            low=0,
            size=(12, 7),
            no_data=_OFF,
        ),
        lines(
            "Waiting for a retry",
            "Pictures kept on disk after a failed analysis. They are retried when the endpoint responds; when the "
            "space runs out, the oldest are dropped.",
            _SOURCE.mean("vision", "kept", function="last", names=("kept",)),
            low=0,
            decimals=0,
            size=(12, 7),
            no_data=_OFF,
        ),
        listing(
            "Latest detections",
            "The latest detections, one per row. Width and height are the box's share of the picture.",
            _SOURCE.points(
                "camera_detection",
                {
                    "label": "Label",
                    "confidence": "Confidence",
                    "camera": "Camera",
                    "model": "Model",
                    "box_width_percent": "Width",
                    "box_height_percent": "Height",
                    "event_id": "Event",
                },
                limit=50,
            ),
            order=("Time", "Label", "Confidence", "Camera", "Width", "Height", "Model", "Event"),
            columns={
                "Time": properties(unit=CLOCK, custom__width=110),
                "Label": properties(custom__width=110),
                "Confidence": gauge_cell(((None, "blue"),), unit="percentunit", high=1, width=150),
                "Camera": properties(custom__width=120),
                "Width": properties(unit="percent", decimals=0, custom__width=70, noValue="–"),
                "Height": properties(unit="percent", decimals=0, custom__width=75, noValue="–"),
                "Model": properties(custom__width=110),
            },
            size=(24, 9),
            no_data=_NOTHING_FOUND,
        ),
    ]
