"""Shared by the tests of the vision collector: pictures, messages, a scripted engine and source."""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np

from collectors.core.line_protocol import Metric
from collectors.messaging.session import Message
from collectors.vision import snapshot
from collectors.vision.engines import Detection, Wait
from collectors.vision.sources import Taken

TIME_NS = 1_700_000_000_123_456_789


def jpeg(width: int = 64, height: int = 48, level: int = 128) -> bytes:
    """A plain picture."""
    done, encoded = cv2.imencode(".jpg", np.full((height, width, 3), level, np.uint8))
    assert done
    return bytes(encoded.tobytes())


def message(*, picture: bytes | None = None, **changed: Any) -> bytes:
    """A snapshot message with changed keys; a key that is changed to ... is omitted."""
    document = {
        "event_id": "20231114T221320.123456Z-hall",
        "camera": "hall",
        "time_ns": TIME_NS,
        "image": b2a_base64(jpeg() if picture is None else picture, newline=False).decode(),
        **changed,
    }
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


class Scripted:
    """An engine with scripted answers: detections, or exceptions that it raises."""

    model = "scripted"

    def __init__(self, *answers: list[Detection] | Exception) -> None:
        self._answers = list(answers)
        self.available: bool | None = None
        self.looked = 0

    def detect(self, jpeg: bytes, wait: Wait) -> list[Detection]:
        assert jpeg.startswith(b"\xff\xd8")
        del wait
        self.looked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Given:
    """A source with these messages, which records the acknowledged ones."""

    def __init__(self, messages: Iterable[bytes], device: str = "pi") -> None:
        self._messages = [
            Taken(payload, device, snapshot.read, Message("", payload, False, number))
            for number, payload in enumerate(messages)
        ]
        self.dealt_with: list[int] = []
        self.closed = False
        self.keep_open = False

    @property
    def ended(self) -> bool:
        return not self._messages and not self.keep_open

    def take(self, seconds: float) -> Taken | None:
        del seconds
        return self._messages.pop(0) if self._messages else None

    def done(self, taken: Taken) -> None:
        assert taken.message is not None
        self.dealt_with.append(taken.message.number)

    def drain_errors(self, report: Callable[[str], None]) -> None:
        del report

    def close(self) -> None:
        self.closed = True


def never(seconds: float) -> bool:
    """A wait that takes no time, and it is never time to stop."""
    del seconds
    return False


def detections(metrics: Iterable[Metric]) -> list[Metric]:
    """The detections among the points."""
    return [metric for metric in metrics if metric.series.measurement == "camera_detection"]


def statuses(metrics: Iterable[Metric]) -> dict[str, Any]:
    """The numbers of all statuses, counts added up, of the others the newest."""
    total: dict[str, Any] = {}
    for metric in metrics:
        if metric.series.measurement == "vision":
            for name, value in metric.fields.items():
                counted = name not in ("kept", "kept_bytes", "breaker_open", "processing_seconds")
                total[name] = total.get(name, 0) + value if counted else value
    return total
