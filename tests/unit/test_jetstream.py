"""The check that restarts a NATS server whose JetStream has stopped storing messages."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sensetig.jetstream import SKIP, error_of, main, needs_restart

STUCK = (
    "JetStream stream '$G > sensetig' write error: write /var/lib/nats/jetstream/$G/streams/sensetig/msgs/1.blk: "
    "no space left on device"
)


class Server(HTTPServer):
    answer: tuple[int, bytes] = (200, b"")


@pytest.fixture
def server() -> Iterator[Server]:
    """Answers /healthz as NATS does."""

    class Handler(BaseHTTPRequestHandler):
        server: Server

        def do_GET(self) -> None:
            status, body = self.server.answer if self.path == "/healthz" else (404, b"")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def run(server: Server, folder: Path, reserve: int = 0) -> int:
    return main([f"http://127.0.0.1:{server.server_port}", str(folder), str(reserve)])


def test_a_stuck_store_is_restarted_once_its_disk_has_room(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = (503, json.dumps({"status": "unavailable", "error": STUCK}).encode())
    assert run(server, tmp_path) == 0
    assert capsys.readouterr().out.endswith("no space left on device; restarting it\n")
    assert run(server, tmp_path, reserve=10**9) == SKIP
    assert capsys.readouterr().out.endswith("no space left on device; not restarted\n")


@pytest.mark.parametrize(
    "answer",
    [
        (200, b'{"status":"ok"}'),
        (503, b'{"status":"unavailable","error":"JetStream is still recovering meta layer"}'),
        (503, b"a page of a proxy: write error"),
        (503, b"[]"),
        (503, b""),
    ],
)
def test_a_server_that_is_well_or_starts_is_left_alone(
    answer: tuple[int, bytes], server: Server, tmp_path: Path
) -> None:
    server.answer = answer
    assert run(server, tmp_path) == SKIP


def test_a_server_that_does_not_answer_is_left_to_systemd() -> None:
    assert error_of("http://127.0.0.1:1") == ""


@pytest.mark.parametrize("error", [STUCK, "jetstream not enabled"])
def test_the_errors_that_a_restart_cures(error: str) -> None:
    assert needs_restart(error, lambda: 64_000_000, 64_000_000)
    assert not needs_restart(error, lambda: 63_999_999, 64_000_000)
    assert not needs_restart("", lambda: 64_000_000, 64_000_000)
