"""InfluxDB's write API as the gateway uses it."""

from __future__ import annotations

import gzip
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from collectors.core.api import Unavailable
from collectors.gateway.writer import Refused, Target, Unreachable, Writer
from sensetig.outbox.app import WAITING_HEADER

Answer = tuple[int, object]


class Server:
    """Takes writes and answers as a test wants; it keeps the lines of each request."""

    def __init__(self, unix: Path | None = None) -> None:
        self.requests: list[list[str]] = []
        self.paths: list[str] = []
        self.headers: dict[str, str] = {}
        self.answer: Callable[[list[str]], Answer] = lambda _: (204, None)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                lines = body.decode().splitlines()
                outer.requests.append(lines)
                outer.paths.append(self.path)
                status, document = outer.answer(lines)
                content = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                for header in outer.headers.items():
                    self.send_header(*header)
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if content:
                    self.wfile.write(content)

            def address_string(self) -> str:
                return "test"

            def log_message(self, *_: object) -> None:
                pass

        class UnixServer(socketserver.ThreadingUnixStreamServer):
            pass

        self._server: socketserver.BaseServer
        if unix is not None:
            self._server = UnixServer(str(unix), Handler)
            self.url = f"unix://{unix}"
        else:
            tcp = HTTPServer(("127.0.0.1", 0), Handler)
            self._server, self.url = tcp, f"http://127.0.0.1:{tcp.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=["tcp", "unix"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "write.sock" if request.param == "unix" else None)
    yield made
    made.close()


def writer(url: str) -> Writer:
    return Writer(Target(url, "an org", "raw", "token"))


def test_the_writer_knows_whether_its_points_wait_in_the_outbox(server: Server) -> None:
    made = writer(server.url)
    assert not made.waits
    for headers in ({WAITING_HEADER: "1"}, {}):
        server.headers = headers
        assert made.write(["m v=1 1"]) == []
        assert made.waits == bool(headers)
    made.close()


def refusing(bad: set[str], status: int = 422) -> Callable[[list[str]], Answer]:
    def answer(lines: list[str]) -> Answer:
        if bad & set(lines):
            return status, {"code": "unprocessable entity", "message": "a type conflict"}
        return 204, None

    return answer


def test_points_are_written_to_influxdb_or_the_outbox(server: Server) -> None:
    made = writer(server.url)
    assert made.write(["m a=1 1", "m b=2 2"]) == []
    assert made.write(["m a=1 3"]) == []
    made.close()
    assert server.requests == [["m a=1 1", "m b=2 2"], ["m a=1 3"]]
    assert server.paths == ["/api/v2/write?org=an+org&bucket=raw&precision=ns"] * 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_refused_points_are_found_and_the_others_stored(server: Server, status: int) -> None:
    lines = [f"m n={number} {number}" for number in range(9)]
    server.answer = refusing({lines[2], lines[7]}, status)
    made = writer(server.url)
    assert made.write(lines) == [Refused(lines[2], "a type conflict"), Refused(lines[7], "a type conflict")]
    made.close()


@pytest.mark.parametrize("answer", [(500, {"code": "internal error", "message": "no room"}), (404, None), (401, None)])
def test_another_answer_says_nothing_about_the_points(server: Server, answer: Answer) -> None:
    server.answer = lambda _: answer
    made = writer(server.url)
    with pytest.raises(Unreachable, match=f"status {answer[0]}"):
        made.write(["m a=1 1"])
    made.close()


def test_a_proxy_s_refusal_is_none_of_the_points(server: Server) -> None:
    server.answer = lambda _: (400, "what a proxy says")
    made = writer(server.url)
    with pytest.raises(Unreachable, match="status 400"):
        made.write(["m a=1 1", "m a=1 2"])
    made.close()


def test_a_server_that_is_away_is_unreachable_and_then_written_to(tmp_path: Path) -> None:
    path = tmp_path / "write.sock"
    made = writer(f"unix://{path}")
    with pytest.raises(Unreachable, match="does not answer"):
        made.write(["m a=1 1"])
    server = Server(path)
    assert made.write(["m a=1 1"]) == []
    made.close()
    server.close()


@pytest.mark.parametrize(
    "url", ["", "ftp://host", "http://", "http://user:secret@host", "unix://", "http://[::1", "http://host:99999"]
)
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(Unavailable, match="influxdb_url must be"):
        writer(url)


def test_a_missing_file_for_tls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="a file for TLS"):
        Writer(Target("https://host", "o", "b", "t", ca=str(tmp_path / "none.pem")))
