"""The vision collector as a whole: pictures in, detections out, each outcome counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from collectors import vision
from collectors.core.api import Context, NotApplicable, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric, encode
from collectors.core.settings import Values
from collectors.vision.collector import MAX_CAMERAS, MAX_LABELS, VisionCollector
from collectors.vision.engines import MAX_DETECTIONS, Box, Detection, EngineError, InvalidImage, select_detections
from collectors.vision.retry_queue import RetryQueue
from collectors.vision.settings import Config, load_config
from tests.schema_check import violations
from tests.unit import vision_support as support
from tests.unit.vision_support import Given, Scripted, detections, message, statuses

CONFIG = Config()
PERSON = Detection("person", 0.9, Box(10, 20, 30, 40))


class Run:
    """A run of the collector over some messages, with its errors, and a clock that moves a second with each look."""

    def __init__(self, engine: Scripted, source: Given, kept: RetryQueue | None = None, plan: Config = CONFIG) -> None:
        self.errors: list[str] = []
        self.now = 0.0
        self.source = source
        report = ErrorReporter("vision", self.errors.append)
        self.vision = VisionCollector(
            engine, source, kept, plan, report, device="pi", timer=self.clock, stopwatch=lambda: 0.0
        )

    def clock(self) -> float:
        self.now += 1
        return self.now

    def run(self, wait: Callable[[float], bool] = support.never) -> list[Metric]:
        metrics = [metric for batch in self.vision.stream(wait) for metric in batch]
        wrong = [sentence for metric in metrics for sentence in violations(metric, vision.MEASUREMENTS)]
        assert wrong == []
        return metrics


def keep(tmp_path: Path) -> RetryQueue:
    return RetryQueue(str(tmp_path / "kept"), 10_000_000, 7, lambda: support.TIME_NS)


def test_each_detection_is_a_point_at_the_time_of_the_event() -> None:
    run = Run(Scripted([PERSON, Detection("dog", 0.6)]), Given([message()]))
    person, dog = detections(run.run())
    assert dict(person.series.tags) == {"camera": "hall", "label": "person", "model": "scripted"}
    assert dict(person.fields) == {
        "event_id": "20231114T221320.123456Z-hall",
        "confidence": 0.9,
        "box_left_percent": 10,
        "box_top_percent": 20,
        "box_width_percent": 30,
        "box_height_percent": 40,
    }
    assert dict(dog.fields) == {"event_id": "20231114T221320.123456Z-hall", "confidence": 0.6}
    assert person.time_ns == dog.time_ns == support.TIME_NS
    assert run.errors == []


def test_three_people_in_an_image_are_three_points_the_most_confident_first() -> None:
    sure, less, least = (Detection("person", confidence) for confidence in (0.9, 0.8, 0.7))
    metrics = detections(Run(Scripted([least, sure, less]), Given([message()])).run())
    assert [(metric.fields["confidence"], (metric.time_ns or 0) - support.TIME_NS) for metric in metrics] == [
        (0.9, 0),
        (0.8, 1),
        (0.7, 2),
    ]


def test_same_image_gives_the_same_lines_so_that_the_database_stores_them_once() -> None:
    boxes = [Detection("person", 0.7, Box(left, 0, 10, 10)) for left in (30, 10, 20)]
    lines = [
        [encode(metric) for metric in detections(Run(Scripted(found), Given([message()])).run())]
        for found in (boxes, boxes[::-1])
    ]
    assert lines[0] == lines[1]


def test_detections_below_the_threshold_or_with_other_labels_are_dropped() -> None:
    found = [Detection("person", 0.9), Detection("person", 0.4), Detection("dog", 0.9)]
    assert select_detections(found, 0.5, frozenset({"person"})) == [Detection("person", 0.9)]
    assert len(select_detections(found * 100, 0.0, frozenset())) == MAX_DETECTIONS


def test_image_of_another_machine_has_that_machine_as_its_host() -> None:
    (metric,) = detections(Run(Scripted([PERSON]), Given([message()], device="garden-pi")).run())
    assert metric.series.tags["host"] == "garden-pi"


@pytest.mark.parametrize("device", ["x" * 40_000, "a\x00b"])
def test_invalid_device_is_rejected(device: str) -> None:
    run = Run(Scripted([PERSON]), Given([message()], device=device))
    assert statuses(run.run())["refused"] == 1
    assert run.errors == ["E! vision: a topic has no valid device; it must be printable text of at most 200 characters"]


def test_simulated_image_gives_simulated_detections() -> None:
    (metric,) = detections(Run(Scripted([PERSON]), Given([message(simulated=True)])).run())
    assert metric.series.tags["simulated"] == "true"


def test_each_outcome_is_counted_and_every_message_is_acknowledged() -> None:
    good, other, third, fourth = (message(camera=name) for name in ("a", "b", "c", "d"))
    engine = Scripted([PERSON], [], InvalidImage("an image cannot be decoded"), EngineError("it is down"))
    run = Run(engine, Given([good, b"nonsense", good, other, third, fourth]))
    status = statuses(run.run())
    assert status == {
        "pictures": 2,
        "empty": 1,
        "refused": 2,
        "failed": 1,
        "repeated": 1,
        "dropped": 0,
        "processing_seconds": 0.0,
    }
    assert run.errors == [
        "E! vision: a message is not JSON",
        "E! vision: an image cannot be decoded",
        "E! vision: it is down",
    ]
    assert run.source.dealt_with == [0, 1, 2, 3, 4, 5]


def test_message_is_acknowledged_only_after_its_points_were_taken() -> None:
    run = Run(Scripted([PERSON]), Given([message()]))
    stream = run.vision.stream(support.never)
    assert detections(next(stream))
    assert run.source.dealt_with == []
    next(stream)
    assert run.source.dealt_with == [0]


def test_failed_image_is_stored_and_retried_later(tmp_path: Path) -> None:
    kept = keep(tmp_path)
    source = Given([message(), message(camera="door")], device="garden")
    source.keep_open = True
    run = Run(Scripted(EngineError("it is down"), [PERSON]), source, kept, Config(keep_retry_seconds=20))

    seen: list[Metric] = []

    def until_both(_: float) -> bool:
        return len(detections(seen)) == 2 and len(kept) == 0

    for batch in run.vision.stream(until_both):
        seen.extend(batch)
    assert [metric.series.tags["camera"] for metric in detections(seen)] == ["door", "hall"]
    assert [metric.series.tags["host"] for metric in detections(seen)] == ["garden", "garden"]
    assert source.dealt_with == [0, 1]
    assert statuses(seen)["failed"] == 1
    assert list((tmp_path / "kept").iterdir()) == []


def test_retry_queue_waits_while_the_engine_is_unavailable(tmp_path: Path) -> None:
    kept = keep(tmp_path)
    kept.add(b"garden\n" + message())
    engine = Scripted([PERSON])
    engine.available = False
    source = Given([])
    source.keep_open = True
    run = Run(engine, source, kept)
    turns = iter([False] * 50 + [True])
    status = statuses(run.run(lambda _: next(turns)))
    assert engine.looked == 0
    assert (status["kept"], status["breaker_open"]) == (1, True)


def test_image_that_can_be_neither_processed_nor_stored_is_held_and_retried(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = RetryQueue(str(tmp_path / "kept"), 1000, 7, lambda: support.TIME_NS)
    (tmp_path / "kept").write_text("a file where the folder should be")
    engine = Scripted(EngineError("it is down"), EngineError("it is down"), [PERSON])
    source = Given([message(), message(camera="door")])
    source.keep_open = True
    run = Run(engine, source, kept)
    metrics: list[Metric] = []
    for batch in run.vision.stream(lambda _: len(detections(metrics)) == 2):
        metrics.extend(batch)
        if engine.looked < 3:
            assert source.dealt_with == []
    assert [metric.series.tags["camera"] for metric in detections(metrics)] == ["hall", "door"]
    assert any("cannot be stored for a retry" in sentence for sentence in run.errors)


def test_engine_that_fails_on_an_image_continues_with_the_next(tmp_path: Path) -> None:
    run = Run(
        Scripted(ZeroDivisionError("by zero"), [PERSON]), Given([message(), message(camera="door")]), keep(tmp_path)
    )
    metrics = run.run()
    assert len(detections(metrics)) == 1
    assert statuses(metrics)["kept"] == 1
    assert run.errors == ["E! vision: the engine failed on an image: ZeroDivisionError: by zero"]


def test_number_of_label_series_is_bounded() -> None:
    many = [[Detection(f"label {number}", 0.9)] for number in range(MAX_LABELS + 5)]
    run = Run(Scripted(*many), Given([message(event_id=f"e{number}") for number in range(len(many))]))
    labels = {metric.series.tags["label"] for metric in detections(run.run())}
    assert len(labels) == MAX_LABELS + 1
    assert "other" in labels
    assert run.errors == [f"E! vision: the engine returned more than {MAX_LABELS} labels; further ones become other"]


def test_number_of_camera_series_is_bounded() -> None:
    run = Run(Scripted([PERSON]), Given([message(camera=f"c{number}") for number in range(MAX_CAMERAS + 2)]))
    metrics = run.run()
    assert len({metric.series.tags["camera"] for metric in detections(metrics)}) == MAX_CAMERAS
    assert statuses(metrics)["refused"] == 2


@pytest.mark.parametrize("label", ["  ", "\x00\n", "x" * 1000])
def test_unusual_label_is_made_writable(label: str) -> None:
    (metric,) = detections(Run(Scripted([Detection(label, 0.9)]), Given([message()])).run())
    assert 0 < len(metric.series.tags["label"]) <= 64


# --- starting ---------------------------------------------------------------------------------------


def create(**values: object) -> object:
    return vision.create(Context(Values(values), ErrorReporter("vision", print), False, "pi", lambda: support.TIME_NS))


def test_without_a_broker_the_collector_is_not_applicable() -> None:
    with pytest.raises(NotApplicable):
        create()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"url": "http://host"}, "the broker's URL must be mqtt://HOST"),
        ({"url": "mqtt://host:x"}, "the broker's URL must be mqtt://HOST"),
        ({"url": "mqtt://host:99999"}, "the broker's URL must be mqtt://HOST"),
        ({"url": "mqtt://host"}, "the broker host is not on this machine and would be reached without encryption"),
        ({"url": "mqtts://me:x@host"}, "a password in it.* a file that the setting password_file names"),
        (
            {"url": "mqtts://host", "password_file": "/no/such/file"},
            "password_file /no/such/file cannot be read: No such",
        ),
        ({"url": "mqtts://host", "ca_file": "/no/such/file"}, "cannot be used as the broker's certificates"),
        ({"pictures": "/no/such/picture"}, "/no/such/picture is no picture, and no folder with one"),
    ],
)
def test_invalid_setting_is_reported_at_the_start(values: dict[str, object], sentence: str, tmp_path: Path) -> None:
    settings = {"engine": "http", "http_url": "http://127.0.0.1:1/", "keep_dir": str(tmp_path), **values}
    with pytest.raises(Unavailable, match=sentence):
        create(**settings)


def test_folder_of_another_user_is_reported_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="set keep_dir to a folder of this user"):
        create(url="mqtts://host", engine="http", http_url="http://host/", keep_dir=str(tmp_path / "file" / "kept"))


def test_configuration_is_read_from_the_settings() -> None:
    values = {"threshold": 0.7, "only": "person, dog,", "status_seconds": 2.0, "keep_retry_seconds": 3.0}
    assert load_config(Values(values)) == Config(0.7, frozenset({"person", "dog"}), 2.0, 3.0)
    assert load_config(Values()) == Config()
