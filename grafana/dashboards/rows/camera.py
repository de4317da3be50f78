"""The Camera dashboard: motion events with their pictures, and the health of the camera."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grafana_foundation_sdk.builders.common import VizTextDisplayOptions

from collectors.camera.measurements import CAMERA, CAMERA_EVENT
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Mark, Row
from grafana.dashboards.lib.heatmap import BY_WEEKDAY, by_hour
from grafana.dashboards.lib.panels import CLOCK, Panel, lines, listing, number, origin, states
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import fixed, gauge_cell, pattern_map, properties, value_map

_SOURCE = Source((CAMERA, CAMERA_EVENT))

_NO_EVENTS = "No motion in this time range"

#: Small enough for a time in words on one line of an eighth of the width.
_SMALL = VizTextDisplayOptions().title_size(13).value_size(14)

#: Small enough for the states of two cameras side by side.
_SIDE_BY_SIDE = VizTextDisplayOptions().title_size(11).value_size(18)

#: The states of all cameras, which are not numbers: a covered camera must not hide behind another one.
_NOT_TIME = "/^(?!Time$)/"

_COVERED = {"true": ("covered", thresholds.ACT), "false": ("OK", thresholds.GOOD)}

_FROZEN = {"true": ("frozen", thresholds.ACT), "false": ("OK", thresholds.GOOD)}

_DETECTION = {"true": ("on", thresholds.GOOD), "false": ("off", thresholds.LOOK)}

#: How much of the picture moves: from the detection's own least area on, and much of it. Neither is good or bad.
_MOTION: thresholds.Steps = ((None, "#80808066"), (0.5, "orange"), (25, "purple"))

#: The data URI of a JPEG, in the spelling of InfluxQL: a slash is escaped, and no dollar begins a variable of Grafana.
_JPEG_BEGIN = r"^data:image\/jpeg;base64,\/9j\/"
_JPEG = _JPEG_BEGIN + r"[A-Za-z0-9+\/]+=*\z"

#: Columns with the same value in both points of an event, or whose newer value counts.
_PER_EVENT = ("Picture", "Clip", "Duration", "Area", "Intensity", "Frames", "Camera")

#: A path of a clip, as the camera names it.
_CLIP = r"/^\d{4}\/\d\d\/\d\d\/[\w.-]+\.mp4$/"

#: The hub's proxy serves this path (role proxy). A path from a point is one segment of it, whatever is in it.
_PLAY = [
    {
        "title": "Play the clip",
        "url": "/camera/${host:percentencode}/${__value.raw:percentencode}",
        # Otherwise Grafana would treat it as one of its pages.
        "targetBlank": True,
    }
]


def _of_hours(texts: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The same words for the bucket of hours, where a truth value is 1 or 0."""
    return {**texts, "1": texts["true"], "0": texts["false"]}


def rows() -> Iterable[Row]:
    yield Row("camera", "", _glance(), order=0)
    yield Row("camera", "Events", _events(), order=10)
    yield Row("camera", "Camera health", _camera(), order=20)


def marks() -> Iterable[Mark]:
    yield Mark(
        {"camera": False, "environment": False, "device": False},
        "Motion",
        "Largest share of the picture that moved since the previous status.",
        _SOURCE.spans(
            "camera_event", "start_seconds", "Motion for {} s", number="duration_seconds", by="camera", kind="end"
        ),
        # In small charts, events in quick succession would hide the lines.
        only={"camera": (("Events", "Motion"), ("Detections", "Detections by label"))},
    )


def _glance() -> list[Panel]:
    return [
        number(
            "Last status",
            "When the camera last reported. More than half a minute ago: it is unplugged, another program uses it, "
            "or its recording has ended.",
            _SOURCE.newest("camera", "frames"),
            time=True,
            size=(6, 3),
            no_data="no data",
        ).text(_SMALL),
        number(
            "Events",
            "Motion events that began in the time range.",
            _SOURCE.total("camera_event", "area_percent", "Events", where={"kind": "start"}, count=True),
            size=(6, 3),
            no_data="none",
        ),
        number(
            "Last event",
            "When the latest motion event was recorded.",
            _SOURCE.newest("camera_event", "area_percent"),
            time=True,
            size=(6, 3),
            no_data="none",
        ).text(_SMALL),
        number(
            "Motion",
            "Largest share of the picture that differed from the background. A level that never falls: the camera "
            "shakes, or its background has changed. A single jump to 100 %: a light was switched, which is not an "
            "event.",
            _SOURCE.mean("camera", "motion_percent", function="max", names=("Motion",)),
            decimals=1,
            low=0,
            size=(6, 3),
        ),
        number(
            "Frame rate",
            "Analysed frames per second. Well below the camera's setting: the machine is too slow or busy.",
            _SOURCE.mean("camera", "frames_per_second", names=("Frames",)),
            decimals=1,
            low=0,
            unit="suffix:fps",
            size=(6, 3),
        ),
        number(
            "Lens",
            "Whether the picture has been dark or without detail for longer than a passer-by takes. Covered: an "
            "object blocks the lens, or the light is off.",
            _SOURCE.mean("camera", "covered", by=("camera",), function="last"),
            texts=_COVERED,
            columns=_NOT_TIME,
            size=(6, 3),
        ).text(_SIDE_BY_SIDE),
        number(
            "Picture",
            "Whether the pictures still change. Frozen: the camera repeats one picture and detects no motion; "
            "restart it.",
            _SOURCE.mean("camera", "frozen", by=("camera",), function="last"),
            texts=_FROZEN,
            columns=_NOT_TIME,
            size=(6, 3),
        ).text(_SIDE_BY_SIDE),
        origin(
            "Whether these pictures come from a camera, from a simulation, or from a file that is played.",
            _SOURCE.origin("camera", "frames_per_second"),
            size=(6, 3),
        ).text(_SMALL),
    ]


def _events() -> list[Panel]:
    return [
        states(
            "Motion over time",
            "A lane per camera: grey is quiet, orange is motion in more than half a per cent of the picture, purple "
            "in a quarter, such as a light being switched. A gap is a camera that has not reported.",
            _SOURCE.mean("camera", "motion_percent", by=("camera",), function="max"),
            steps=_MOTION,
            size=(24, 4),
        ),
        listing(
            "Latest events",
            "The latest motion events, each with the picture with the most motion. Play opens the clip, if the camera "
            "is on this hub and its HTTP control is on. Intensity is how far the motion exceeds the detection "
            "threshold, as a multiple of it.",
            _SOURCE.points(
                "camera_event",
                {
                    "thumbnail": "Picture",
                    "clip_path": "Clip",
                    "camera": "Camera",
                    "duration_seconds": "Duration",
                    "area_percent": "Area",
                    "score": "Intensity",
                    "frames": "Frames",
                    "event_id": "Event",
                },
                # A browser loads whatever an address names.
                matching={"thumbnail": (_JPEG_BEGIN, _JPEG)},
                # An event is two points, its start and its end, the newer one first.
                limit=24,
            ),
            grouped_by="Event",
            kept={
                "Time": "last",
                **dict.fromkeys(_PER_EVENT, "firstNotNull"),
            },
            order=("Picture", "Clip", "Time", "Duration", "Area", "Intensity", "Frames", "Camera", "Event"),
            renamed={"Time": "Began"},
            columns={
                # Grafana 12.2 and later let the row grow to the picture; others show it as high as a tall row.
                "Picture": properties(custom__cellOptions={"type": "image", "dynamicHeight": True}, custom__width=190),
                "Clip": properties(links=_PLAY, mappings=pattern_map(_CLIP, "▶ Play"), noValue="–", custom__width=80),
                "Began": properties(unit=CLOCK, custom__width=110),
                "Duration": properties(unit="s", decimals=1, custom__width=95, noValue="still moving"),
                "Area": gauge_cell(((None, "blue"),), high=50, width=110),
                "Intensity": properties(decimals=1, custom__width=90),
                "Frames": properties(custom__width=75, noValue="–"),
                "Camera": properties(custom__width=100),
            },
            tall=True,
            size=(24, 15),
            no_data=_NO_EVENTS,
        ),
        lines(
            "Motion",
            "Largest share of the picture that differed from the background. A level that never falls: the camera "
            "shakes, or its background has changed. A single jump to 100 %: the light was switched, which is "
            "not an event.",
            _SOURCE.mean("camera", "motion_percent", by=("camera",), function="max"),
            low=0,
            soft_high=5,
            size=(16, 7),
        ),
        lines(
            "Events",
            "The number of motion events that began, per interval.",
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
        by_hour(
            "Events by hour of the day",
            "The number of motion events that began in the last seven days, a column per day, a row per two hours. A "
            "house has the same busy hours each day; a hot cell among cool ones is worth a look.",
            _SOURCE.written(
                'SELECT count("area_percent") AS "Events" FROM "camera_event" WHERE $scope AND "kind" = \'start\' '
                "GROUP BY time(1h) fill(0)",
                table=True,
            ),
            column="Events",
            days=6,
            size=(13, 13),
            no_data="No motion in the last week",
        ),
        by_hour(
            "Events by weekday and hour, 4 weeks",
            "The number of motion events that began in the last four weeks, a column per weekday: a usual week, with "
            "its busy and its quiet hours.",
            _SOURCE.written(
                'SELECT count("area_percent") AS "Events" FROM "camera_event" WHERE $scope AND "kind" = \'start\' '
                "GROUP BY time(1h) fill(0)",
                table=True,
            ),
            column="Events",
            days=28,
            columns=BY_WEEKDAY,
            size=(11, 13),
            no_data="No motion in the last four weeks",
        ),
    ]


def _camera() -> list[Panel]:
    return [
        lines(
            "Frames per second",
            "Analysed frames. Below the camera's setting, the machine is too slow or busy with other work.",
            _SOURCE.mean("camera", "frames_per_second", by=("camera",)),
            unit="suffix:fps",
            low=0,
            size=(8, 7),
            links={"Device": "/d/sensetig-device"},
        ),
        lines(
            "Processing time",
            "Mean time to analyse one frame. At 10 frames a second it must stay below 100 ms.",
            _SOURCE.mean("camera", "processing_seconds", by=("camera",)),
            low=0,
            size=(8, 7),
        ),
        lines(
            "Dropped frames",
            "Frames that came faster than they could be analysed, per interval. Steady drops: lower the frame rate.",
            _SOURCE.mean("camera", "dropped", by=("camera",), function="sum"),
            low=0,
            soft_high=1,
            decimals=0,
            bars=True,
            size=(8, 7),
        ),
        *_sight(),
    ]


def _sight() -> list[Panel]:
    """Whether the camera can see at all."""
    alarms = states(
        "Alarms",
        "When the lens was covered, when the picture was frozen, and when a command had switched motion detection off.",
        # An hour has the worst of its states: covered, frozen, or without motion detection at any time.
        *(
            _SOURCE.mean(
                "camera", field, by=("camera",), function="last", hours=hours, names=(lane,), alias="$tag_camera: $col"
            )
            for field, lane, hours in (
                ("covered", "lens", "max"),
                ("frozen", "picture", "max"),
                ("detection", "motion", "min"),
            )
        ),
        show_value=True,
        size=(12, 7),
    )
    for lane, texts in (("lens", _COVERED), ("picture", _FROZEN), ("motion", _DETECTION)):
        alarms.override_by_regexp(f"/: {lane}$/", properties(mappings=value_map(_of_hours(texts))))
    # Without a fixed colour the palette would paint over the mappings' colours.
    alarms.color_scheme(fixed(thresholds.PLAIN))
    return [
        alarms,
        lines(
            "Brightness",
            "Mean brightness of the picture. Near 0 % the camera is blind, near 100 % it is dazzled.",
            _SOURCE.mean("camera", "brightness_percent", by=("camera",)),
            low=0,
            high=100,
            size=(6, 7),
        ),
        lines(
            "Shake",
            "How far the camera moved, in per cent of the picture's width. Shaking is not an event, but a level that "
            "stays calls for a firmer mount.",
            _SOURCE.mean("camera", "shake_percent", by=("camera",), function="max"),
            low=0,
            soft_high=2,
            size=(6, 7),
        ),
    ]
