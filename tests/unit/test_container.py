"""The collector `container`: an engine at a socket, its answers, and its absence."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collectors import container
from collectors.core.api import NotApplicable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values

RUNNING = {
    "Name": "/sensetig-outbox-1",
    "RestartCount": 2,
    "State": {"Running": True, "StartedAt": "2026-11-30T10:00:00.5Z"},
    "Config": {"Image": "localhost/sensetig-collectors:1.0", "Labels": {}},
}
STATS = {
    "memory_stats": {"usage": 4096, "stats": {"inactive_file": 1096}},
    "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
}
NOON_NS = 1_796_040_000_000_000_000


@contextmanager
def engine(path: Path, answers: dict[str, tuple[int, bytes]]) -> Iterator[list[str]]:
    """An engine at a socket; the requests that it gets."""
    requested: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            status, body = answers.get(self.path.removeprefix("/v1.40"), (404, b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield requested
        finally:
            server.shutdown()
            thread.join()


def containers(path: Path, said: list[str], project: str = "sensetig") -> container.Containers:
    report = ErrorReporter("container", said.append)
    return container.Containers(container.engine(str(path)), project, 30.0, lambda: NOON_NS, report.error)


def labelled(id: str, project: str = "sensetig") -> dict[str, Any]:
    return {"Id": id, "Labels": {"com.docker.compose.project": project}}


def test_an_engine_is_asked_for_its_list_and_each_container_of_the_project(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    answers = {
        "/containers/json?all=1": (200, json.dumps([labelled("a" * 12), labelled("b" * 12), labelled("c" * 12, "x")])),
        f"/containers/{'a' * 12}/json": (200, json.dumps(RUNNING)),
        f"/containers/{'a' * 12}/stats?stream=false&one-shot=true": (200, json.dumps(STATS)),
    }
    said: list[str] = []
    with engine(path, {key: (status, text.encode()) for key, (status, text) in answers.items()}) as requested:
        (metric,) = containers(path, said).batch()
    assert said == [], "a container that was removed meanwhile is no error"
    assert requested == [f"/v1.40{query}" for query in (*answers, f"/containers/{'b' * 12}/json")]
    assert metric.series.tags == {"name": "sensetig-outbox-1", "image": "localhost/sensetig-collectors:1.0"}
    assert metric.fields == {
        "running": 1,
        "restarts": 2,
        "uptime_seconds": NOON_NS / 1e9 - 1_796_032_800.5,
        "memory_bytes": 3000,
        "cpu_seconds": 1.5,
    }


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"{}", "answered /containers/json with status 500"),
        (200, b"<html>", "is no JSON"),
        (200, b"[" + b" " * (4 * 1024 * 1024) + b"]", "answered /containers/json with status 200"),
    ],
)
def test_a_wrong_answer_is_a_counted_error(status: int, body: bytes, words: str, tmp_path: Path) -> None:
    path, said = tmp_path / "engine.sock", list[str]()
    with engine(path, {"/containers/json?all=1": (status, body)}):
        assert containers(path, said).batch() == []
    assert len(said) == 1
    assert words in said[0]


def test_an_engine_that_is_away_is_a_counted_error_in_each_batch(tmp_path: Path) -> None:
    said: list[str] = []
    pauses: list[float] = []

    def wait(seconds: float, descriptor: int | None = None, /) -> bool:
        del descriptor
        pauses.append(seconds)
        return len(pauses) == 3

    batches = list(containers(tmp_path / "none.sock", said).stream(wait))
    assert [list(batch) for batch in batches] == [[], [], []]
    assert pauses == [30.0, 30.0, 30.0]
    assert said == [
        f"E! container: the engine at {tmp_path / 'none.sock'} does not answer: No such file or directory; check the "
        "setting socket and this user's right to it"
    ]


@pytest.mark.parametrize(
    "answer", [None, {}, "text", [None, 5, {"Id": 5}, {"Id": "../../etc", "Labels": None}, {"Labels": []}]]
)
def test_a_list_of_another_form_has_no_containers(answer: Any) -> None:
    assert container.listed(answer, "") == []


@pytest.mark.parametrize(
    "inspected",
    [
        None,
        [],
        {},
        {"Name": "/", "State": {}, "Config": {"Image": "x"}},
        {"Name": "x", "State": None, "Config": {"Image": ""}},
        {"Name": 5, "State": 5, "Config": 5},
    ],
)
def test_a_container_without_a_name_or_an_image_has_no_point(inspected: Any) -> None:
    assert container.measured(inspected, {}, NOON_NS) is None


@pytest.mark.parametrize(
    "state",
    [
        {"Running": True, "StartedAt": "0001-01-01T00:00:00Z"},
        {"Running": True, "StartedAt": "2026-13-30T10:00:00Z", "Health": {"Status": "starting"}},
        {"Running": True, "StartedAt": 5, "Health": "healthy"},
    ],
)
def test_a_value_that_is_none_is_left_out(state: dict[str, Any]) -> None:
    stats = {"memory_stats": {"usage": -1}, "cpu_stats": {"cpu_usage": {"total_usage": "1"}}}
    metric = container.measured({**RUNNING, "RestartCount": True, "State": state}, stats, NOON_NS)
    assert metric is not None
    assert metric.fields == {"running": 1}


def test_without_a_socket_there_is_nothing_to_read() -> None:
    from collectors.core.api import Context

    context = Context(Values(), ErrorReporter("container", lambda _: None), True, "pi", lambda: NOON_NS)
    with pytest.raises(NotApplicable, match="names no engine"):
        container.create(context)
