"""An endpoint that classifies pictures, and all its failure modes."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import circuitbreaker
import pytest

from collectors.core.api import Unavailable
from collectors.core.settings import Values
from collectors.vision.engines import Box, Detection, EngineError, Stopped, open_engine
from collectors.vision.engines.http import MAX_ANSWER_BYTES, HttpEngine
from collectors.vision.engines.mapping import AnswerMapping, MappingError
from tests.unit import vision_support as support
from tests.unit.vision_endpoint import says, serving

PICTURE = support.jpeg(200, 100)
GOOD = json.dumps({"predictions": [{"label": "person", "confidence": 0.9}]}).encode()


def engine(url: str, errors: list[str] | None = None, **values: Any) -> HttpEngine:
    errors = [] if errors is None else errors
    made = open_engine(
        Values({"engine": "http", "http_url": url, "http_timeout_seconds": 60, "http_backoff_seconds": 0.01, **values}),
        errors.append,
    )
    assert isinstance(made, HttpEngine)
    return made


# --- the request --------------------------------------------------------------------------------------


def test_image_is_sent_unchanged_and_the_response_is_read() -> None:
    with serving(says(200, GOOD)) as endpoint:
        looking = engine(endpoint.url)
        assert looking.detect(PICTURE, support.never) == [Detection("person", 0.9)]
        ((headers, body),) = endpoint.requests
    assert body == PICTURE
    assert headers["Content-Type"] == "image/jpeg"
    assert looking.model == "127.0.0.1"


def test_image_is_sent_as_a_form_file() -> None:
    with serving(says(200, GOOD)) as endpoint:
        engine(endpoint.url, http_body="form", http_field="upload").detect(PICTURE, support.never)
        ((headers, body),) = endpoint.requests
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="upload"; filename="snapshot.jpg"' in body
    assert PICTURE in body


def test_image_is_sent_in_json_of_any_form() -> None:
    with serving(says(200, GOOD)) as endpoint:
        template = '{"requests": [{"image": {"content": "{image}"}, "features": [{"type": "LABELS"}]}]}'
        engine(endpoint.url, http_body="json", http_json=template).detect(PICTURE, support.never)
        ((headers, body),) = endpoint.requests
    assert headers["Content-Type"] == "application/json"
    assert b64decode(json.loads(body)["requests"][0]["image"]["content"]) == PICTURE


def headers_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "headers"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_headers_file_readable_by_others_is_rejected(tmp_path: Path) -> None:
    path = headers_file(tmp_path, "Authorization: Bearer of-the-key\n", 0o644)
    with pytest.raises(
        Unavailable, match=r"^http_headers_file .* may be read by others \(mode 0644\); chmod 600 "
    ) as found:
        engine("http://host/", http_headers_file=path)
    assert "of-the-key" not in str(found.value)


def test_headers_are_read_from_a_file(tmp_path: Path) -> None:
    path = headers_file(tmp_path, "## the key of the hall\nAuthorization: Bearer of-the-key\n\nX-Model: small\n")
    with serving(says(200, GOOD)) as endpoint:
        engine(endpoint.url, http_headers_file=path).detect(PICTURE, support.never)
        ((headers, _),) = endpoint.requests
    assert headers["Authorization"] == "Bearer of-the-key"
    assert headers["X-Model"] == "small"


# --- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 408, 425, 429])
def test_retryable_failure_is_retried_up_to_the_limit(status: int) -> None:
    with serving(says(status)) as endpoint:
        with pytest.raises(EngineError, match=f"127.0.0.1:[0-9]+ answers with status {status}$"):
            engine(endpoint.url, http_attempts=3).detect(PICTURE, support.never)
        assert len(endpoint.requests) == 3


def test_retry_that_succeeds_is_no_failure() -> None:
    with serving(says(500), says(503), says(200, GOOD)) as endpoint:
        assert engine(endpoint.url).detect(PICTURE, support.never) == [Detection("person", 0.9)]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 422])
def test_permanent_failure_is_not_retried(status: int) -> None:
    with serving(says(status, Location="http://127.0.0.1:1/elsewhere")) as endpoint:
        with pytest.raises(EngineError, match=f"answers with status {status}$"):
            engine(endpoint.url).detect(PICTURE, support.never)
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "something that is not JSON"),
        (b"<html>busy</html>", "something that is not JSON"),
        (b"\xff\xfe{", "something that is not JSON"),
        (b"[" * 100_000, "something that is not JSON"),
        (b'{"success": true}', "not as expected: http_detections leads to nothing, not to a list"),
        (b'{"success": false, "error": "busy"}', "http_detections leads to nothing, not to a list"),
        (b'{"predictions": [{"label": "x", "confidence": null}, {"label": "y"}]}', "http_confidence leads to nothing"),
        (b'{"predictions": {}}', "not as expected: http_detections leads to an object"),
        (b'{"predictions": [{"label": 7, "confidence": 1}]}', "http_label leads to a number, not to a text"),
        (b'{"predictions": [{"label": "x"}]}', "http_confidence leads to nothing, not to a number"),
        (b'{"predictions": [{"label": "x", "confidence": true}]}', "http_confidence leads to true or false"),
        (
            b'{"predictions": [{"label": "x", "confidence": NaN}]}',
            "http_confidence leads to a number that is not finite",
        ),
        (
            b'{"predictions": [{"label": "x", "confidence": -1e999}]}',
            "http_confidence leads to a number that is not fin",
        ),
        (b'{"predictions": [{"label": "x", "confidence": 1' + b"0" * 400 + b"}]}", "a number that is out of any range"),
        (b'{"predictions": [{"label": " ", "confidence": 1}]}', "http_label leads to an empty text, not to a text"),
        (b'{"predictions": [{"label": ["x"], "confidence": 1}]}', "http_label leads to a list, not to a text"),
        (b'{"predictions": "none"}', "http_detections leads to a text, not to a list"),
        (b'{"predictions":' * 3000 + b"[]" + b"}" * 3000, "something that is not JSON"),
        (b'{"predictions": [{"label": "x", "confidence": 90}]}', "a confidence is 90; see the setting"),
        (b"x" * (MAX_ANSWER_BYTES + 1), f"answers with more than {MAX_ANSWER_BYTES} bytes"),
    ],
)
def test_invalid_response_is_a_failure_with_the_reason(body: bytes, sentence: str) -> None:
    with serving(says(200, body)) as endpoint:
        with pytest.raises(EngineError, match=re.escape(sentence)):
            engine(endpoint.url).detect(PICTURE, support.never)
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize("status", [200, 201, 203])
def test_every_status_of_success_is_read(status: int) -> None:
    with serving(says(status, GOOD)) as endpoint:
        assert engine(endpoint.url).detect(PICTURE, support.never) == [Detection("person", 0.9)]


@pytest.mark.parametrize(
    ("status", "body", "path"),
    [
        (204, b"", "predictions"),
        (200, b"null", "predictions"),
        (200, b"null", "@"),
        (200, b'{"predictions": null, "success": true}', "predictions"),
        (200, b'{"result": {"objects": null}}', "result.objects"),
        (200, b'{"result": null}', "result.objects"),
        (200, b'{"responses": [{"labels": null}]}', "responses[0].labels"),
        (200, b'{"Labels": null}', "Labels[].Instances[].{n: Name}"),
        (200, b'{"Labels": null}', "Labels[?Confidence > `50`]"),
    ],
)
def test_no_content_and_null_mean_nothing_found(status: int, body: bytes, path: str) -> None:
    errors: list[str] = []
    with serving(says(status, body)) as endpoint:
        asked = engine(endpoint.url, errors, http_detections=path, breaker_failures=1)
        assert asked.detect(PICTURE, support.never) == []
        assert asked.available
        assert len(endpoint.requests) == 1
    assert errors == []


@pytest.mark.parametrize("path", ["predictions", "result.objects", "responses[0].labels", "Labels[].Instances[]"])
def test_missing_list_is_no_null(path: str) -> None:
    with pytest.raises(MappingError, match="leads to nothing"):
        AnswerMapping(Values({"http_detections": path})).read({"error": "busy", "responses": []}, 9, 9, pytest.fail)


def test_broken_object_is_left_out_and_reported() -> None:
    objects = [
        {"label": "person", "confidence": 0.91},
        {"label": "dog", "confidence": None},
        {"label": None, "confidence": 0.5},
        {"label": "cat", "confidence": 0.4},
    ]
    errors: list[str] = []
    with serving(says(200, json.dumps({"predictions": objects}).encode())) as endpoint:
        found = engine(endpoint.url, errors).detect(PICTURE, support.never)
    assert found == [Detection("person", 0.91), Detection("cat", 0.4)]
    (error,) = errors
    assert "2 of 4 objects are left out: http_confidence leads to nothing" in error


@pytest.mark.parametrize(("given", "read"), [(1.0000001, 1.0), (1.0005, 1.0), (-1e-9, 0.0)])
def test_confidence_beyond_its_range_by_rounding_is_accepted(given: float, read: float) -> None:
    body = json.dumps({"predictions": [{"label": "person", "confidence": given}]}).encode()
    with serving(says(200, body)) as endpoint:
        assert engine(endpoint.url).detect(PICTURE, support.never) == [Detection("person", read)]


@pytest.mark.parametrize("status", [204, 205])
def test_answer_without_content_ends_with_its_head(status: int) -> None:
    def open_ended(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)  # no length, and the connection stays open
        handler.end_headers()
        handler.wfile.flush()
        endpoint.released.wait(60)

    with serving(open_ended) as endpoint:
        assert engine(endpoint.url, http_attempts=1, http_timeout_seconds=300).detect(PICTURE, support.never) == []


def test_answer_that_is_not_what_its_encoding_says_is_a_failure() -> None:
    with serving(says(200, b"plain", Content_Encoding="gzip")) as endpoint:
        with pytest.raises(EngineError, match="answers with something that cannot be decompressed"):
            engine(endpoint.url).detect(PICTURE, support.never)
        assert len(endpoint.requests) == 1


def test_answer_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    bomb = gzip.compress(b'{"predictions": [' + b" " * (64 * MAX_ANSWER_BYTES) + b"]}", 1)
    with (
        serving(says(200, bomb, Content_Encoding="gzip")) as endpoint,
        pytest.raises(EngineError, match=f"more than {MAX_ANSWER_BYTES} bytes"),
    ):
        engine(endpoint.url).detect(PICTURE, support.never)


def test_unresponsive_endpoint_times_out() -> None:
    def silent(_: BaseHTTPRequestHandler) -> None:
        endpoint.released.wait(60)

    with serving(silent) as endpoint:
        with pytest.raises(EngineError, match=r"127\.0\.0\.1:[0-9]+ has not answered within 2 s"):
            engine(endpoint.url, http_timeout_seconds=2.0, http_attempts=2).detect(PICTURE, support.never)
        _until(lambda: len(endpoint.requests) == 2)


def test_shutdown_ends_a_running_attempt() -> None:
    asked = threading.Event()

    def silent(_: BaseHTTPRequestHandler) -> None:
        asked.set()
        endpoint.released.wait(120)

    with serving(silent) as endpoint:
        looking = engine(endpoint.url, http_timeout_seconds=300)
        with pytest.raises(Stopped):
            looking.detect(PICTURE, lambda _: asked.is_set())
        assert not endpoint.released.is_set(), "the endpoint is silent still"
        assert looking.available is True, "to be stopped is no failure of the endpoint"
        assert len(endpoint.requests) == 1


def test_endpoint_that_responds_slowly_times_out() -> None:
    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not endpoint.released.wait(0.05):
            handler.wfile.write(b" ")

    with serving(dripping) as endpoint, pytest.raises(EngineError, match=r"has not answered within 0\.4 s"):
        engine(endpoint.url, http_timeout_seconds=0.4, http_attempts=1).detect(PICTURE, support.never)


def test_truncated_response_is_retried() -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{")
        handler.close_connection = True

    with serving(broken, says(200, GOOD)) as endpoint:
        assert engine(endpoint.url).detect(PICTURE, support.never) == [Detection("person", 0.9)]
    with serving(broken) as endpoint, pytest.raises(EngineError, match="has not completed its answer"):
        engine(endpoint.url, http_attempts=1).detect(PICTURE, support.never)


def test_endpoint_that_refuses_connections_fails() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # a port without a listener
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"127.0.0.1:{port} cannot be reached: Connection refused"):
            engine(f"http://127.0.0.1:{port}/?key=in-the-url").detect(PICTURE, support.never)


def test_unknown_host_name_fails() -> None:
    with pytest.raises(EngineError, match=r"no-such-host\.invalid cannot be reached: "):
        engine("http://no-such-host.invalid/?key=in-the-url", http_attempts=1).detect(PICTURE, support.never)


def test_messages_contain_no_secret(tmp_path: Path) -> None:
    path = headers_file(tmp_path, "Authorization: Bearer of-the-key\n")
    told = []
    for answer in (says(500), says(401), says(200, b"in-the-answer")):
        with serving(answer) as endpoint, pytest.raises(EngineError) as failed:
            engine(endpoint.url, http_headers_file=path).detect(PICTURE, support.never)
        told.append(str(failed.value))
    headers_file(tmp_path, "of-the-key without a name\n")
    with pytest.raises(Unavailable) as unavailable:
        engine("http://host/", http_headers_file=path)
    told.append(str(unavailable.value))
    assert "line 1, is not a header" in told[-1]
    assert [text for text in told if "of-the-key" in text or "in-the" in text] == []


# --- patience ------------------------------------------------------------------------------------------


def test_delays_are_random_up_to_a_limit_that_doubles() -> None:
    pauses: list[list[float]] = []

    def wait(seconds: float) -> bool:
        if seconds:  # without any it is only asked whether to stop
            pauses[-1].append(seconds)
        return False

    with serving(says(500)) as endpoint:
        looking = engine(
            endpoint.url,
            http_attempts=5,
            http_backoff_seconds=1.0,
            http_backoff_max_seconds=4.0,
            breaker_failures=1000,
        )
        for _ in range(24):
            pauses.append([])
            with pytest.raises(EngineError):
                looking.detect(PICTURE, wait)
    for number, bound in enumerate((1, 2, 4, 4)):
        drawn = [each[number] for each in pauses]
        assert all(0 <= pause <= bound for pause in drawn)
        assert max(drawn) - min(drawn) > bound / 4, "they are spread over all of the bound"


def test_requested_delay_is_respected_up_to_the_limit() -> None:
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    with serving(says(429, Retry_After="3"), says(503, Retry_After="9999"), says(200, GOOD)) as endpoint:
        engine(endpoint.url, http_backoff_max_seconds=5.0).detect(PICTURE, wait)
    assert pauses == [3.0, 5.0]


def test_shutdown_ends_a_delay() -> None:
    with serving(says(500)) as endpoint:
        with pytest.raises(Stopped):
            engine(endpoint.url).detect(PICTURE, lambda _: True)
        assert len(endpoint.requests) == 1


def test_breaker_opens_after_failures_and_closes_after_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(circuitbreaker, "monotonic", lambda: now)
    with serving(says(500), says(500), says(404), says(200, GOOD)) as endpoint:
        looking = engine(endpoint.url, http_attempts=1, breaker_failures=2, breaker_seconds=30.0)
        for _ in range(2):
            with pytest.raises(EngineError, match="status 500"):
                looking.detect(PICTURE, support.never)
        assert looking.available is False
        with pytest.raises(EngineError, match="circuit breaker open after repeated failures"):
            looking.detect(PICTURE, support.never)
        assert len(endpoint.requests) == 2, "an open breaker asks nothing"

        now += 30.0
        assert looking.available is True
        with pytest.raises(EngineError, match="status 404"):
            looking.detect(PICTURE, support.never)
        assert looking.available is False, "one failure opens a breaker again that was only ajar"

        now += 30.0
        assert looking.available is True
        assert looking.detect(PICTURE, support.never) == [Detection("person", 0.9)]
        assert looking.available is True
        assert len(endpoint.requests) == 4


def _until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds that another thread brings about."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


# --- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"http_url": None}, "the engine http needs the setting http_url"),
        ({"http_url": "ftp://host/"}, "http_url must be http://HOST/PATH"),
        ({"http_url": "http:///path"}, "http_url must be http://HOST/PATH"),
        ({"http_url": "http://host:port/"}, "http_url must be http://HOST/PATH"),
        ({"http_url": "http://user:secret@host/"}, "put a user or a key into the file that http_headers_file names"),
        ({"http_headers_file": "/no/such/file"}, "/no/such/file cannot be read"),
        ({"http_detections": "a["}, r"http_detections is 'a\[', which is not JMESPath"),
        ({"http_box": "]"}, "http_box is ']', which is not JMESPath"),
        ({"http_body": "json", "http_json": "{"}, "http_json is not JSON"),
        ({"http_body": "json", "http_json": "{}"}, "http_json has no {image}"),
    ],
)
def test_invalid_http_setting_is_reported_at_the_start(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Unavailable, match=sentence):
        engine(values.pop("http_url", "http://host/"), **values)


# --- the mapping of answers ----------------------------------------------------------------------------

#: Answers as known endpoints give them, with the settings that read them.
KNOWN: dict[str, tuple[dict[str, Any], Any, list[Detection]]] = {
    "corners in pixels": (
        {"http_box": "[x_min, y_min, x_max, y_max]"},
        {"predictions": [{"label": "dog", "confidence": 0.5, "x_min": 20, "y_min": 10, "x_max": 120, "y_max": 60}]},
        [Detection("dog", 0.5, Box(10, 10, 50, 50))],
    ),
    "a list at the top, corners by name": (
        {
            "http_detections": "@",
            "http_confidence": "score",
            "http_box": "[box.xmin, box.ymin, box.xmax, box.ymax]",
        },
        [{"label": "cat", "score": 0.25, "box": {"xmin": 0, "ymin": 0, "xmax": 100, "ymax": 100}}],
        [Detection("cat", 0.25, Box(0, 0, 50, 100))],
    ),
    "labels in per cent, boxes as parts of the picture, one for each instance": (
        {
            "http_detections": "Labels[].Instances[].{n: 'person', c: Confidence, b: BoundingBox}",
            "http_label": "n",
            "http_confidence": "c",
            "http_confidence_unit": "percent",
            "http_box": "[b.Left, b.Top, b.Width, b.Height]",
            "http_box_form": "size",
            "http_box_unit": "fraction",
        },
        {
            "Labels": [
                {
                    "Instances": [
                        {"Confidence": 80, "BoundingBox": {"Left": 0.1, "Top": 0.2, "Width": 0.3, "Height": 0.4}}
                    ]
                }
            ]
        },
        [Detection("person", 0.8, Box(10, 20, 30, 40))],
    ),
    "the middle and the size, in per cent": (
        {"http_box": "box", "http_box_form": "middle", "http_box_unit": "percent"},
        {"predictions": [{"label": "bird", "confidence": 1, "box": [50, 50, 20, 10]}]},
        [Detection("bird", 1.0, Box(40, 45, 20, 10))],
    ),
    "labels alone": (
        {"http_detections": "responses[0].labels", "http_label": "description", "http_confidence": "score"},
        {"responses": [{"labels": [{"description": "street", "score": 0.7}]}]},
        [Detection("street", 0.7)],
    ),
    "nothing found": ({}, {"predictions": []}, []),
}


@pytest.mark.parametrize("name", KNOWN)
def test_responses_of_known_forms_are_read(name: str) -> None:
    values, answer, expected = KNOWN[name]
    found = AnswerMapping(Values(values)).read(answer, 200, 100, pytest.fail)
    assert [(each.label, each.confidence) for each in found] == [(each.label, each.confidence) for each in expected]
    for each, other in zip(found, expected, strict=True):
        assert each.box == (None if other.box is None else pytest.approx(tuple(other.box)))


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, 3, "4"], {"a": 1}, [1, 2, 3, None], [1, 2, 3, 1e300]])
def test_invalid_box_is_reported(box: Any) -> None:
    mapping = AnswerMapping(Values({"http_box": "box"}))
    with pytest.raises(MappingError, match="http_box leads to"):
        mapping.read({"predictions": [{"label": "x", "confidence": 1, "box": box}]}, 10, 10, pytest.fail)


def test_path_that_fails_on_a_response_is_reported() -> None:
    mapping = AnswerMapping(Values({"http_detections": "sort_by(predictions, &label)"}))
    with pytest.raises(MappingError, match="sort_by"):
        mapping.read({"predictions": [{"label": 1}, {"label": "a"}]}, 10, 10, pytest.fail)
