"""The outbox's way to InfluxDB, the receiver of a hub, and the messages to systemd."""

from __future__ import annotations

import errno
import gzip
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3
from click.testing import CliRunner

from collectors.outbox import read_state
from sensetig.__main__ import main
from sensetig.errors import OutboxError
from sensetig.outbox import app, service
from sensetig.outbox.batch import Destination
from sensetig.outbox.delivery import GRACE_SECONDS, Delivery, kind_of
from sensetig.outbox.heartbeat import MAX_SILENCE_SECONDS, Heartbeat
from sensetig.outbox.notify import Notifier
from sensetig.outbox.receiver import Receiver
from sensetig.outbox.service import _listen
from sensetig.outbox.store import Full
from sensetig.outbox.upstream import Answer, Refused, Room, Unreachable, Upstream
from tests.unit.test_outbox import RAW, Server, asked, drained, lines_of, opened

_DOCUMENT = '{"code": "not found", "message": "bucket \\"rax\\" not found"}'


class Influx:
    """A server with a fixed answer, which keeps its requests."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str]) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        influx = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                influx.requests.append((self.path, dict(self.headers), content))
                self._answer()

            def do_GET(self) -> None:
                influx.requests.append((self.path, dict(self.headers), b""))
                self._answer()

            def _answer(self) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Influx:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def answering(status: int, body: str = "", **headers: str) -> Iterator[tuple[Influx, Upstream]]:
    pool = urllib3.PoolManager(retries=False)
    with Influx(status, body, {name.replace("_", "-"): value for name, value in headers.items()}) as influx, pool:
        yield influx, Upstream(pool, influx.url, "secret-token")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, '{"code": "unauthorized", "message": "unauthorized access"}', "check the token"),
        (403, "<html>Forbidden</html>", "check the token's permissions and this machine's certificate"),
        (404, _DOCUMENT, "check organisation, bucket and address (organisation 'sensetig')"),
        (404, "<html>nginx</html>", "check organisation, bucket and address"),
        (400, "<html>Bad Request</html>", "status 400"),
        (413, "<html>Too Large</html>", "status 413"),
        (422, "", "status 422"),
        (429, "", "status 429"),
        (500, '{"code": "internal error", "message": "disk"}', "status 500 (disk)"),
        (502, "<html>", "status 502"),
        (503, "Service Unavailable", "status 503"),
        (302, "", "status 302"),
    ],
)
def test_an_answer_that_is_not_about_a_point_holds_it_with_one_sentence(
    status: int, body: str, words: str, tmp_path: Path
) -> None:
    with answering(status, body) as (_, upstream):
        with pytest.raises(Unreachable) as caught:
            upstream.send(RAW, lines_of(1))
        log: list[str] = []
        store = opened(tmp_path, log)
        Delivery(store, upstream, lambda *_: None, lambda: None, log.append).take(RAW, lines_of(1))
    sentence = str(caught.value)
    assert words in sentence
    assert "bucket 'raw'" in sentence
    assert "secret-token" not in sentence
    assert (store.waiting, store.totals["taken_points"]) == (1, 1)
    assert store.reason.endswith(sentence.partition(": ")[2])
    assert len(log) == 1


def test_the_server_s_patience_is_kept() -> None:
    with answering(429, "", Retry_After="17") as (_, upstream), pytest.raises(Unreachable) as caught:
        upstream.send(RAW, lines_of(1))
    assert caught.value.retry_after == 17
    with answering(503, "", Retry_After="86400") as (_, upstream), pytest.raises(Unreachable) as caught:
        upstream.send(RAW, lines_of(1))
    assert caught.value.retry_after == 300


def test_a_request_that_is_too_large_is_halved() -> None:
    with answering(413, "<html>Too Large</html>") as (_, upstream):
        assert upstream.send(RAW, lines_of(2)) == Refused("", None)


@pytest.mark.parametrize(
    ("reason", "total"),
    [
        ("partial write: field type conflict: input field", "refused_type"),
        ("partial write: points beyond retention policy dropped=1", "refused_retention"),
        ("unable to parse 'x': missing fields", "refused_syntax"),
        ("something new", ""),
    ],
)
def test_refused_points_are_counted_by_kind(reason: str, total: str) -> None:
    assert kind_of(reason) == total


# --- delivery ---------------------------------------------------------------------------------------


def test_after_a_full_disk_points_go_on_without_a_restart(tmp_path: Path) -> None:
    server, log = Server(), list[str]()
    server.away = True
    store = opened(tmp_path, log, free=lambda _: 0)
    delivery = Delivery(store, server, lambda *_: None, lambda: None, log.append)
    for _ in range(2):
        with pytest.raises(Full):
            delivery.take(RAW, lines_of(2))
    server.away = False
    delivery.take(RAW, lines_of(2))
    assert server.points == lines_of(2)
    assert store.totals["held_writes"] == 2
    assert log[-1] == "InfluxDB takes points again"


def test_a_damaged_file_says_nothing_about_influxdb(tmp_path: Path) -> None:
    server, log = Server(), list[str]()
    server.away = True
    store = opened(tmp_path, log)
    delivery = Delivery(store, server, lambda *_: None, lambda: None, log.append)
    delivery.take(RAW, lines_of(2))
    (file,) = tmp_path.glob("*.batch")
    file.write_bytes(b"\0" * 100)
    assert delivery._deliver_oldest()
    assert "InfluxDB takes points again" not in log
    assert store.totals["damaged_points"] == 2


def test_a_batch_is_counted_once_when_the_disk_refuses_the_totals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    store = opened(tmp_path, [])
    store.add(RAW, [*lines_of(3), b"m bad=1 5"])
    with monkeypatch.context() as patch:
        patch.setattr(store, "_write", _no_room)
        with pytest.raises(OSError, match="No space"):
            drained(store, server)
    drained(store, server)
    assert (store.totals["stored_points"], store.totals["refused_points"]) == (3, 1)


def _no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_points_for_a_mistyped_bucket_go_to_the_right_one_once_it_is_corrected(tmp_path: Path) -> None:
    store = opened(tmp_path, [])
    store.add(Destination("sensetig", "rax"), lines_of(3))
    server = Server()  # accepts the bucket raw only
    delivery = Delivery(store, server, lambda *_: None, lambda: None, lambda _: None, RAW)
    assert delivery._deliver_oldest()
    assert server.points == lines_of(3)


def test_a_delivery_that_hangs_is_not_alive(tmp_path: Path) -> None:
    now = [100.0]
    hangs, ends = threading.Event(), threading.Event()

    class Hanging(Server):
        def send(self, *_: object) -> Refused | None:
            hangs.set()
            ends.wait(60)
            return None

    store = opened(tmp_path, [])
    store.add(RAW, lines_of(1))
    delivery = Delivery(store, Hanging(), lambda *_: None, lambda: None, lambda _: None, timer=lambda: now[0])
    delivery.start()
    try:
        assert hangs.wait(60)
        assert delivery.is_alive
        now[0] += GRACE_SECONDS + 1
        assert not delivery.is_alive
    finally:
        ends.set()
        delivery.stop()
    assert not delivery.is_alive


# --- the receiver -----------------------------------------------------------------------------------


def test_a_write_is_passed_on_with_the_token_of_its_writer() -> None:
    saved: list[Mapping[str, int | str]] = []
    body = gzip.compress(b"m f=1 5")
    with answering(204) as (influx, upstream):
        receiver = Receiver(upstream, saved.append, lambda _: None)
        seen: list[tuple[Destination, bytes, dict[str, str]]] = []

        def relay(destination: Destination, content: bytes, headers: Mapping[str, str]) -> Answer:
            seen.append((destination, content, dict(headers)))
            return receiver.relay(destination, content, {**headers, "Authorization": "Token device"})

        answer = asked(app.build_receiver(relay), body, "org=o&bucket=b&precision=s&evil=1", "gzip")
    assert (answer.status, answer.body) == (204, b"")
    assert seen == [(Destination("o", "b", "s"), body, {"Content-Encoding": "gzip"})]
    ((path, headers, content),) = influx.requests
    assert path == "/api/v2/write?org=o&bucket=b&precision=s"
    assert (headers["Authorization"], headers["Content-Encoding"], content) == ("Token device", "gzip", body)
    receiver.save()
    assert saved[-1] == {"passed_writes": 1, "held_writes": 0, "reason": ""}


def test_an_error_of_influxdb_is_passed_back() -> None:
    with answering(422, '{"code": "x"}', Content_Type="application/json") as (_, upstream):
        relay = Receiver(upstream, lambda _: None, lambda _: None).relay
        answer = asked(app.build_receiver(relay), b"m f=1 5", "org=o&bucket=b")
    assert (answer.status, answer.body) == (422, b'{"code": "x"}')


def test_writes_are_held_before_the_disk_is_full_and_go_on_by_themselves() -> None:
    free = [400_000_000]
    log: list[str] = []
    saved: list[Mapping[str, int | str]] = []
    with answering(204) as (influx, _), urllib3.PoolManager(retries=False) as pool:
        room = Room("/var/lib/influxdb", 512_000_000, lambda _: free[0])
        receiver = Receiver(Upstream(pool, influx.url, "", room), saved.append, log.append)
        application = app.build_receiver(receiver.relay)
        answer = asked(application, b"m f=1 5", "org=o&bucket=b")
        assert (answer.status, answer.headers["retry-after"], influx.requests) == (503, "30", [])
        assert answer.message == (
            "the disk of InfluxDB has 400 MB left and 512 MB stay free: nothing is written to /var/lib/influxdb until "
            "there is room; points wait at the writer"
        )
        assert saved[-1]["held_writes"] == 1
        assert str(saved[-1]["reason"]).startswith("the disk of InfluxDB has 400 MB left")
        free[0] = 600_000_000
        assert asked(application, b"m f=1 5", "org=o&bucket=b").status == 204
    assert saved[-1] == {"passed_writes": 1, "held_writes": 1, "reason": ""}
    assert log[-1] == "InfluxDB takes points again"


def test_on_a_full_disk_the_receiver_still_says_why_writes_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "state.json")
    service.save_counts(path, {"passed_writes": 12_345, "held_writes": 0, "reason": ""})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(service, "write_atomic", full)
    both: list[dict[str, int | str]] = [{"held_writes": 1, "reason": "no room " * 20}, {"held_writes": 2, "reason": ""}]
    for counts in both:
        service.save_counts(path, counts)
        assert json.loads(Path(path).read_text()) == counts


def test_points_that_the_check_refuses_are_answered_as_influxdb_refuses_points() -> None:
    checked: list[tuple[str, bytes]] = []

    def check(device: str, body: bytes) -> str:
        checked.append((device, body))
        return "a point names another device"

    def relay(*_: object) -> Answer:
        raise AssertionError("it is passed on")

    body = gzip.compress(b"m f=1 5\nm f=2 6")
    application = app.build_receiver(relay, check)
    nameless = asked(application, body, "org=o&bucket=b", "gzip")
    assert (nameless.status, checked) == (403, [])
    answer = asked(application, body, "org=o&bucket=b", "gzip", more=[(b"x-sensetig-device", b"hall")])
    assert (answer.status, answer.message) == (422, "a point names another device")
    assert json.loads(answer.body)["code"] == "unprocessable entity"
    assert checked == [("hall", b"m f=1 5\nm f=2 6")]


def test_an_influxdb_that_does_not_answer_is_answered_with_503() -> None:
    with answering(204) as (influx, upstream):
        pass
    relay = Receiver(upstream, lambda _: None, lambda _: None).relay
    answer = asked(app.build_receiver(relay), b"m f=1 5", "org=o&bucket=b")
    assert answer.status == 503
    assert influx.url in answer.message


# --- the process ------------------------------------------------------------------------------------


def test_systemd_hears_that_the_service_is_ready_and_alive(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "120000000"})
        notifier.ready()
        notifier.alive()
        assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
    assert notifier.interval == 60
    assert Notifier({}).interval is None
    Notifier({}).ready()


def test_the_heartbeat_stops_when_influxdb_takes_no_points() -> None:
    silence, log = [0.0], list[str]()
    with answering(200) as (check, _), urllib3.PoolManager(retries=False) as pool:
        heartbeat = Heartbeat(pool, f"{check.url}/secret-id", lambda: silence[0], log.append)
        assert heartbeat.beat()
        silence[0] = MAX_SILENCE_SECONDS + 1
        assert not heartbeat.beat()
        assert [path for path, _, _ in check.requests] == ["/secret-id"]
    silence[0] = 0
    assert not heartbeat.beat()
    assert not heartbeat.beat()
    assert len(log) == 1
    assert "secret-id" not in log[0]


@pytest.mark.parametrize("where", ["0.0.0.0:8087", "192.168.1.5:8087", "[::]:8087", "hub.local:8087", ":8087"])
def test_it_does_not_listen_beyond_this_machine(where: str) -> None:
    with pytest.raises(OutboxError, match=r"give --listen a Unix socket or an address such as 127\.0\.0\.1:8087"):
        _listen(where)


@pytest.mark.parametrize("where", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_it_listens_on_loopback(where: str) -> None:
    _listen(where).close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the outbox needs --token-file"),
        (["--token-file", "x", "--bucket", "raw"], "--organisation and --bucket belong together"),
        (["--token-file", "x", "--check"], "--check needs --organisation and --bucket"),
    ],
)
def test_wrong_options_are_one_sentence(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(main, ["outbox", *arguments])
    assert done.exit_code == 2
    assert sentence in done.output


def checked(url: str, folder: Path, bucket: str) -> tuple[int, str]:
    (folder / "token").write_text("secret-token")
    (folder / "token").chmod(0o600)
    options = ["--token-file", str(folder / "token"), "--organisation", "sensetig", "--bucket", bucket]
    done = CliRunner().invoke(main, ["outbox", "--check", "--url", url, *options])
    return done.exit_code, done.output


def test_the_check_before_start_is_one_sentence(tmp_path: Path) -> None:
    with answering(204) as (influx, _):
        assert checked(influx.url, tmp_path, "raw") == (
            0,
            f"InfluxDB at {influx.url} takes points for the bucket 'raw'\n",
        )
        assert influx.requests[0][2] == gzip.compress(b"", 6, mtime=0)
    with answering(404, _DOCUMENT) as (influx, _):
        status, output = checked(influx.url, tmp_path, "rax")
    assert status == 1
    assert 'status 404 (bucket "rax" not found); check organisation, bucket and address' in output
    assert len(output.splitlines()) == 1


def test_the_reason_of_an_outage_is_kept_for_the_collector(tmp_path: Path) -> None:
    server = Server()
    server.away = True
    store = opened(tmp_path, [])
    delivery = Delivery(store, server, lambda *_: None, lambda: None, lambda _: None)
    delivery.take(RAW, lines_of(1))
    delivery._save()
    state = read_state(str(tmp_path))
    assert state is not None
    assert state["reason"] == "InfluxDB does not answer"
    server.away = False
    assert delivery._deliver_oldest()
    delivery._save()
    assert (read_state(str(tmp_path)) or {})["reason"] == ""
