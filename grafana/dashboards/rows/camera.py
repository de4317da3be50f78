"""The Camera dashboard: motion events with their pictures, and how the camera fares."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.camera.measurements import CAMERA, CAMERA_EVENT
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing, number, origin
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import gauge_cell, properties

_SOURCE = Source((CAMERA, CAMERA_EVENT))

_NO_EVENTS = "No motion in this time range"


def rows() -> Iterable[Row]:
    yield Row("camera", "", _glance(), order=0)
    yield Row("camera", "Events", _events(), order=10)
    yield Row("camera", "The camera itself", _camera(), order=20)


def _glance() -> list[Panel]:
    return [
        number(
            "Last status",
            "When the camera last reported. More than half a minute ago: it is unplugged, taken by another "
            "program, or at the end of its recording.",
            _SOURCE.newest("camera", "frames"),
            time=True,
            size=(4, 3),
            no_data="silent in this time range",
        ),
        number(
            "Events",
            "Motion events that began in the time range.",
            _SOURCE.written(
                'SELECT count("area_percent") AS "Events" FROM "camera_event" WHERE $scope AND "kind" = \'start\'',
                table=True,
            ),
            graph=False,
            size=(4, 3),
            no_data="none",
        ),
        number(
            "Last event",
            "When something last moved, and for long enough to count.",
            _SOURCE.newest("camera_event", "area_percent"),
            time=True,
            size=(4, 3),
            no_data="none",
        ),
        number(
            "Motion",
            "Largest share of the picture that moved since the status before.",
            _SOURCE.mean("camera", "motion_percent", function="max", names=("Motion",)),
            decimals=1,
            low=0,
            size=(4, 3),
        ),
        number(
            "Frames",
            "Pictures looked at, per second. Well below what the camera is set to: the machine is too slow or busy.",
            _SOURCE.mean("camera", "frames_per_second", names=("Frames",)),
            decimals=1,
            low=0,
            unit="suffix:fps",
            size=(4, 3),
        ),
        origin(
            "Whether these pictures come from a camera, from a simulation, or from a file that is played.",
            _SOURCE.origin("camera", "frames_per_second"),
            size=(4, 3),
        ),
    ]


def _events() -> list[Panel]:
    return [
        lines(
            "Motion",
            "Largest share of the picture that differed from the background. A level that never falls: the camera "
            "shakes, or its background has changed. A single jump to 100 %: the light was switched, which is no event.",
            _SOURCE.mean("camera", "motion_percent", by=("camera",), function="max"),
            low=0,
            soft_high=5,
            size=(16, 7),
        ),
        lines(
            "Events",
            "How many motion events began, per interval.",
            _SOURCE.mean(
                "camera_event", "area_percent", where={"kind": "start"}, function="count", names=("events",), fill="0"
            ),
            low=0,
            decimals=0,
            bars=True,
            colours={"events": "orange"},
            size=(8, 7),
            no_data=_NO_EVENTS,
        ),
        listing(
            "Events and their pictures",
            "The newest motion events, each with the picture in which most of it moved. Intensity is how far what "
            "moves stands out, in multiples of the threshold.",
            _SOURCE.points(
                "camera_event",
                {
                    "thumbnail": "Picture",
                    "camera": "Camera",
                    "duration_seconds": "Duration",
                    "area_percent": "Area",
                    "score": "Intensity",
                    "frames": "Frames",
                    "event_id": "Event",
                },
                # An event is two points, its start and its end, of which the newer stands first.
                limit=24,
            ),
            grouped_by="Event",
            kept={
                "Time": "last",
                **dict.fromkeys(("Picture", "Duration", "Area", "Intensity", "Frames", "Camera"), "firstNotNull"),
            },
            order=("Picture", "Time", "Duration", "Area", "Intensity", "Frames", "Camera", "Event"),
            renamed={"Time": "Began"},
            columns={
                # Grafana 12.2 and later let the row grow to the picture; others show it as high as a tall row.
                "Picture": properties(custom__cellOptions={"type": "image", "dynamicHeight": True}, custom__width=190),
                "Began": properties(unit="dateTimeFromNow", custom__width=170),
                "Duration": properties(unit="s", decimals=1, custom__width=110, noValue="still moving"),
                "Area": gauge_cell(((None, "blue"),), high=50, width=180),
                "Intensity": properties(decimals=1, custom__width=90),
                "Frames": properties(custom__width=80, noValue="–"),
                "Camera": properties(custom__width=120),
            },
            tall=True,
            size=(24, 18),
            no_data=_NO_EVENTS,
        ),
    ]


def _camera() -> list[Panel]:
    return [
        lines(
            "Frames per second",
            "Pictures looked at. Below what the camera is set to, the machine is too slow or busy with other work.",
            _SOURCE.mean("camera", "frames_per_second", by=("camera",)),
            unit="suffix:fps",
            low=0,
            size=(8, 7),
            links={"Host": "/d/sensetig-host"},
        ),
        lines(
            "Time for each picture",
            "Mean time that looking at one picture takes. At 10 pictures a second it must stay below 100 ms.",
            _SOURCE.mean("camera", "processing_seconds", by=("camera",)),
            low=0,
            size=(8, 7),
        ),
        lines(
            "Dropped",
            "Pictures that came faster than they could be looked at, per interval. Steady drops: lower the frame rate.",
            _SOURCE.mean("camera", "dropped", by=("camera",), function="sum"),
            low=0,
            soft_high=1,
            decimals=0,
            bars=True,
            size=(8, 7),
        ),
    ]
