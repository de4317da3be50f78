"""Limits for clients: they cannot delay the camera, fill its memory, or keep it from ending."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from asyncio import TimerHandle
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from collectors.camera.collector import DetectionSwitch
from collectors.camera.control import STOP_SECONDS, server
from collectors.camera.control.command_queue import Busy, CommandQueue
from collectors.camera.control.server import Bounds, Listener, Server
from collectors.core.api import Unavailable
from tests.unit.camera_control_support import (
    BOUND_SECONDS,
    ScriptedMedia,
    Site,
    Viewer,
    answer_of,
    read_all,
    site,
    until,
)

#: Short for a test, and longer than a busy machine takes from a connection to its request.
IMPATIENT = Bounds(request_seconds=1.5)


async def nowhere(scope: object, receive: object, send: object) -> None:
    """An application that answers nothing."""
    del scope, receive, send


@pytest.fixture
def held() -> Iterator[Site]:
    """A server whose camera blocks until it is released, and whose queue holds two requests."""
    with site(max_waiting=2) as made:
        made.media.go_on.clear()
        yield made


def ask_later(on: Site, path: str) -> http.client.HTTPConnection:
    """Send a request, and leave the answer for later."""
    connection = http.client.HTTPConnection("127.0.0.1", on.port, timeout=BOUND_SECONDS)
    connection.request("POST", path)
    return connection


def waiting(on: Site) -> int:
    """How many wait at the queue."""
    return on.queue._queue.qsize()


def test_a_request_beyond_the_queue_is_asked_to_retry(held: Site) -> None:
    being_done = ask_later(held, "/take_photo")
    assert held.media.begun.acquire(timeout=BOUND_SECONDS)
    others = [ask_later(held, "/take_video?seconds=1") for _ in range(2)]
    until(lambda: waiting(held) == 2)
    refused = held.ask("/take_photo", "POST")
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.error == "2 requests wait for the camera already; try again in a moment"
    assert held.ask("/healthz").status == 200
    held.media.go_on.set()
    assert [answer_of(each).status for each in (being_done, *others)] == [201, 202, 202]
    assert held.ask("/take_photo").status == 201
    assert held.media.asked == ["photo", "video 1", "video 1", "photo"]
    for each in (being_done, *others):
        each.close()


def test_the_wait_for_the_camera_is_bounded() -> None:
    with site(act_seconds=0.2) as on:
        on.media.go_on.clear()
        late = on.ask("/take_photo")
        assert (late.status, late.error[:45]) == (504, "the camera has not answered within 0.2 s; it ")
        assert on.ask("/healthz").status == 200


def test_an_abandoned_request_is_not_carried_out() -> None:
    with site(act_seconds=0.2) as on:
        on.media.go_on.clear()
        first = ask_later(on, "/take_photo")
        assert on.media.begun.acquire(timeout=BOUND_SECONDS)
        assert on.ask("/take_video?seconds=5").status == 504
        assert answer_of(first).status == 504
        on.media.go_on.set()
        until(lambda: waiting(on) == 0)
        # Not by HTTP, because its response may be late again on a busy machine.
        assert on.queue.photo().result(BOUND_SECONDS)
        assert on.media.asked == ["photo", "photo"]
        first.close()


def test_viewers_are_limited_and_a_leaving_one_makes_room() -> None:
    with site(max_streams=2) as on:
        viewers = [Viewer(on.port) for _ in range(2)]
        refused = on.ask("/stream.mjpg")
        assert (refused.status, refused.headers["retry-after"]) == (503, "10")
        assert refused.error == "2 clients watch already, the limit of the setting streams_most"
        viewers.pop().close()
        until(lambda: on.pictures.watching == 1)
        again = Viewer(on.port)
        assert again.picture().strip() == b"picture 1"
        for viewer in (*viewers, again):
            viewer.close()


def test_a_picture_is_encoded_once_for_all_viewers_and_never_without_one() -> None:
    encoded: list[int] = []
    media = ScriptedMedia()
    plain = media.snapshot_jpeg

    def counted() -> bytes:
        encoded.append(media.pictures)
        return plain()

    media.snapshot_jpeg = counted  # type: ignore[method-assign]
    with site(media) as on:
        on.show(50)
        assert encoded == []
        viewers = [Viewer(on.port) for _ in range(2)]
        for viewer in viewers:
            assert viewer.picture().strip() == b"picture 51"
        for number in range(52, 56):
            on.show()
            for viewer in viewers:
                assert viewer.picture().strip() == f"picture {number}".encode()
        assert len(encoded) <= 6
        for viewer in viewers:
            viewer.close()
        until(lambda: on.pictures.watching == 0)
        so_far = len(encoded)
        on.show(50)
        assert on.ask("/healthz").status == 200
        assert len(encoded) == so_far


def test_the_frame_rate_of_the_stream_is_limited() -> None:
    with site(stream_frame_rate=20.0) as on:
        stop = threading.Event()

        def camera() -> None:
            while not stop.wait(0.002):
                on.show()

        thread = threading.Thread(target=camera)
        thread.start()
        try:
            # From before the first, since pictures wait in the connection for a viewer that is late.
            begun = time.monotonic()
            viewer = Viewer(on.port)
            for _ in range(11):
                assert viewer.picture()
            # Ten steps of a twentieth of a second; a busy machine makes them longer, nothing makes them shorter.
            assert time.monotonic() - begun > 0.45
            viewer.close()
        finally:
            stop.set()
            thread.join()


def test_a_slow_viewer_gets_the_newest_picture_and_delays_no_one() -> None:
    media = ScriptedMedia()
    media.size = 200_000
    with site(media, stream_frame_rate=10_000.0, bounds=Bounds(send_seconds=3600.0)) as on:
        slow, quick = Viewer(on.port, receive_bytes=4096), Viewer(on.port)
        assert slow.status == 200
        # The slow one reads nothing until the end of this, and would stop whatever waited for it.
        for number in range(2, 152):
            on.show()
            while quick.picture().strip() != f"picture {number}".encode():
                pass
        seen: list[int] = []
        while not seen or seen[-1] < 151:
            seen.append(int(slow.picture().split()[1]))
        assert seen == sorted(set(seen))
        assert len(seen) < 20  # those buffered by kernel and server, and the newest
        slow.close()
        quick.close()


@pytest.mark.parametrize("what", ["stream", "file"])
def test_a_client_that_reads_nothing_is_disconnected(tmp_path: Path, what: str) -> None:
    (tmp_path / "large.mp4").write_bytes(bytes(32 * 1024 * 1024))
    media = ScriptedMedia(str(tmp_path))
    media.size = 1_000_000
    with site(media, bounds=Bounds(send_seconds=0.3)) as on:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(BOUND_SECONDS)
            client.connect(("127.0.0.1", on.port))
            path = "stream.mjpg" if what == "stream" else "media/large.mp4"
            client.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            if what == "stream":
                until(lambda: on.pictures.watching == 1)
                until(lambda: on.show() or on.pictures.watching == 0)  # type: ignore[func-returns-value]
            until(lambda: not on.server._server.server_state.connections)
        assert on.ask("/healthz").status == 200
        assert on.complaints == []


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: loc", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"],
)
def test_a_request_that_does_not_arrive_times_out(begun: bytes) -> None:
    with site(bounds=IMPATIENT) as on:
        assert on.send(begun) == b""
        assert on.ask("/healthz").status == 200


def test_the_second_request_on_a_connection_times_out_too() -> None:
    with site(bounds=IMPATIENT) as on:
        found = on.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHo")
        assert found.count(b"HTTP/1.1 ") == 1


def test_a_stream_is_not_an_idle_connection() -> None:
    with site(bounds=IMPATIENT) as on:
        viewer = Viewer(on.port)
        viewer.picture()
        threading.Event().wait(2 * IMPATIENT.request_seconds)
        on.show()
        assert viewer.picture().strip() == b"picture 2"
        viewer.close()


def test_connections_beyond_the_limit_are_closed() -> None:
    with site(bounds=Bounds(connections=3)) as on:
        kept = [socket.create_connection(("127.0.0.1", on.port), BOUND_SECONDS) for _ in range(3)]
        until(lambda: len(on.server._server.server_state.connections) == 3)
        with socket.create_connection(("127.0.0.1", on.port), BOUND_SECONDS) as refused:
            assert read_all(refused) == b""
        kept.pop().close()
        until(lambda: len(on.server._server.server_state.connections) == 2)
        assert on.ask("/healthz").status == 200
        for each in kept:
            each.close()


def test_the_steps_of_a_stop_fit_into_its_time() -> None:
    with site() as on:
        graceful = on.server._server.config.timeout_graceful_shutdown
        assert graceful is not None
        assert graceful + server._CLOSE_SECONDS < STOP_SECONDS


def test_the_server_ends_without_its_clients_with_open_streams_and_stuck_downloads(tmp_path: Path) -> None:
    (tmp_path / "large.mp4").write_bytes(bytes(32 * 1024 * 1024))
    made = Site(ScriptedMedia(str(tmp_path)), bounds=Bounds(request_seconds=3600.0, send_seconds=3600.0))
    made.show()
    made.media.go_on.clear()
    viewers = [Viewer(made.port) for _ in range(2)]
    for viewer in viewers:
        assert viewer.picture()
    stuck = socket.create_connection(("127.0.0.1", made.port), BOUND_SECONDS)
    stuck.sendall(b"GET /media/large.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert stuck.recv(100).startswith(b"HTTP/1.1 200")
    idle = socket.create_connection(("127.0.0.1", made.port), BOUND_SECONDS)
    asked = ask_later(made, "/take_photo")
    assert made.media.begun.acquire(timeout=BOUND_SECONDS)
    assert made.server.stop(BOUND_SECONDS)
    for viewer in viewers:
        assert viewer.picture() == b""
        viewer.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", made.port), 1)
    for each in (stuck, idle):
        each.close()
    asked.close()
    made.close()


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    async def nothing() -> None:
        """There is nothing to end."""

    server = Server(nowhere, Listener("127.0.0.1", 0), lambda _: None, nothing)
    assert server.stop(1.0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1)


def test_a_port_in_use_is_reported_with_the_settings_to_change() -> None:
    with site() as on, pytest.raises(Unavailable) as refused:
        Server(nowhere, Listener("127.0.0.1", on.port), lambda _: None, on.pictures.stop)
    assert str(refused.value) == (
        f"the HTTP control cannot listen on 127.0.0.1, port {on.port}: Address already in use; "
        "change control_host or control_port"
    )


def test_waiting_requests_are_cancelled_when_the_queue_is_closed() -> None:
    media = ScriptedMedia()
    media.go_on.clear()
    queue = CommandQueue(media, DetectionSwitch(), max_waiting=2)
    being_done = queue.photo()
    assert media.begun.acquire(timeout=BOUND_SECONDS)
    waits = [queue.photo(), queue.video(1)]
    with pytest.raises(Busy, match="2 requests wait"):
        queue.photo()
    queue.close(0)
    for each in waits:
        with pytest.raises(CancelledError):
            each.result(0)
    with pytest.raises(Busy, match="being stopped"):
        queue.photo()
    media.go_on.set()
    assert being_done.result(BOUND_SECONDS)
    queue.close(BOUND_SECONDS)
    assert not queue._thread.is_alive()
    assert media.asked == ["photo"]


def test_a_reset_connection_leaves_nothing_in_memory() -> None:
    with site() as on:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", on.port), BOUND_SECONDS) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sendall(b"GET /snapshot.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(1)
        until(lambda: not on.server._server.server_state.connections)
        loop = on.server._loop
        assert loop is not None
        timers: list[TimerHandle] = loop._scheduled  # type: ignore[attr-defined]
        until(lambda: sum(not timer.cancelled() for timer in list(timers)) <= 1)  # the server's own tick


def test_a_thousand_requests_leave_memory_flat(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.unit.camera_control_flat", tmp_path],
        cwd=Path(__file__).resolve().parents[2],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    kept = json.loads(run.stdout)
    assert kept["bytes"] < 1024 * 1024
    assert kept["threads"] <= 0
