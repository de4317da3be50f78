"""Shared by the tests of camera control: scripted media and a server."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from collectors.camera.backends import Frame
from collectors.camera.collector import DetectionSwitch
from collectors.camera.control.app import Parts, build
from collectors.camera.control.command_queue import CommandQueue
from collectors.camera.control.feed import EventLog, Feed
from collectors.camera.control.pictures import Pictures
from collectors.camera.control.server import Bounds, Listener, Server
from collectors.camera.control.tuning import Tuner
from collectors.camera.detector import Box, Detection
from collectors.camera.events import Event, event_id
from collectors.camera.media import MediaError
from collectors.core.line_protocol import FieldValue
from collectors.core.settings import Values

#: 2026-11-21 08:00 UTC
BASE_NS = 1_795_248_000 * 10**9
#: No test waits longer than this for anything; nothing takes this long, however busy the machine is.
BOUND_SECONDS = 60.0

#: The program of a camera that may take as long to stop as a busy machine needs; arguments follow as usual.
PATIENT = (
    "import sys; from collectors.camera import control, publish; from collectors.__main__ import main; "
    f"control.STOP_SECONDS = publish._DRAIN_SECONDS = {BOUND_SECONDS}; sys.exit(main(sys.argv[1:]))"
)

FRAME = Frame(np.zeros((8, 8), np.uint8), 1.0, BASE_NS)


class ScriptedMedia:
    """Media without files: pictures are counting texts, and requests can block or fail."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.recording = False
        self.pictures = 0
        self.size = 100
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.begun = threading.Semaphore(0)
        self.closed = False
        self.fields: Mapping[str, FieldValue] = {}

    def snapshot_jpeg(self) -> bytes:
        if self.failure is not None:
            raise self.failure
        if not self.pictures:
            raise MediaError("there is no picture yet")
        return f"picture {self.pictures}".encode().ljust(self.size)

    def photo(self) -> str:
        return self._do("photo", "2026/11/21/a photo.jpg")

    def video(self, seconds: float) -> str:
        return self._do(f"video {seconds:g}", "2026/11/21/video.mp4")

    def on_frame(self, frame: Frame, detection: Detection) -> None:
        del frame, detection
        self.pictures += 1

    def on_idle(self, seconds: float) -> None:
        """Nothing: the tests of control have a picture at any time."""

    def on_event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        del event
        return self.fields

    def close(self) -> None:
        self.closed = True

    def _do(self, what: str, path: str) -> str:
        self.begun.release()
        self.go_on.wait(BOUND_SECONDS)
        self.asked.append(what)
        if self.failure is not None:
            raise self.failure
        return path


def event(kind: str, number: int = 0, **changes: Any) -> Event[Frame]:
    """An event that starts this many seconds after eight o'clock."""
    start_ns = BASE_NS + number * 10**9
    values = (event_id(start_ns, "door"), start_ns, 1.5, 3.25, 2.5, Box(1, 2, 3, 4), 9, False, FRAME)
    return Event(kind, *values)._replace(**changes)


class Answer(NamedTuple):
    """The answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of an error."""
        sentence = self.json["error"]
        assert isinstance(sentence, str)
        assert sentence
        return sentence


def still() -> float:
    """A stopped clock, so that no picture becomes stale while a busy machine runs on."""
    return 0.0


class Site:
    """A server on scripted media."""

    def __init__(
        self,
        media: ScriptedMedia,
        *,
        token: str | None = None,
        max_streams: int = 2,
        stream_frame_rate: float = 1000.0,
        max_waiting: int = 4,
        act_seconds: float = BOUND_SECONDS,
        bounds: Bounds | None = None,
        certificate: str | None = None,
        key: str | None = None,
        timer: Callable[[], float] = still,
        tune: Values | None = None,
    ) -> None:
        self.media = media
        self.complaints: list[str] = []
        self.detection = DetectionSwitch()
        self.feed = Feed(timer, 5.0)
        self.event_log = EventLog("door", max_events=5)
        self.queue = CommandQueue(media, self.detection, max_waiting)
        self.pictures = Pictures(media.snapshot_jpeg, self.feed, max_streams, stream_frame_rate)
        self.tuner = None if tune is None else Tuner(tune, self.detection, timer)
        parts = Parts(
            "door",
            media,
            self.queue,
            self.detection,
            self.feed,
            self.event_log,
            self.pictures,
            60.0,
            max_streams,
            act_seconds,
            self.tuner,
        )
        where = Listener("127.0.0.1", 0, certificate, key)
        self.server = Server(build(parts, token), where, self.complaints.append, self.pictures.stop, bounds)
        self.port = self.server.port
        self.server.start()

    def show(self, pictures: int = 1) -> None:
        """Show this many pictures."""
        for _ in range(pictures):
            self.media.on_frame(FRAME, Detection())
            self.feed.see()
            if self.tuner is not None:
                self.tuner.on_frame(FRAME)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """The answer to a request on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=BOUND_SECONDS)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return answer_of(connection)
        finally:
            connection.close()

    def send(self, raw: bytes) -> bytes:
        """All that is answered to bytes as they are, until the connection is closed."""
        with socket.create_connection(("127.0.0.1", self.port), BOUND_SECONDS) as connection:
            connection.sendall(raw)
            return read_all(connection)

    def close(self) -> None:
        """End everything."""
        self.media.go_on.set()
        self.server.stop(BOUND_SECONDS)
        self.queue.close(BOUND_SECONDS)
        if self.tuner is not None:
            self.tuner.close(BOUND_SECONDS)


@contextmanager
def site(media: ScriptedMedia | None = None, **options: Any) -> Iterator[Site]:
    """A server that answers until the end of the block, with one picture shown."""
    made = Site(ScriptedMedia() if media is None else media, **options)
    try:
        made.show()
        yield made
    finally:
        made.close()


def answer_of(connection: http.client.HTTPConnection) -> Answer:
    """The answer that a connection waits for."""
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def read_all(connection: socket.socket) -> bytes:
    """Read until the other end closes or resets the connection."""
    found = b""
    try:
        while received := connection.recv(65536):
            found += received
    except ConnectionResetError:
        pass
    return found


class Viewer:
    """Watches the stream."""

    def __init__(self, port: int, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(BOUND_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = self._headers()

    def picture(self) -> bytes:
        """The next picture; empty at the end of the stream."""
        length = 0
        while line := self._file.readline():
            if line.startswith(b"Content-Length: "):
                length = int(line.split()[1])
            elif line == b"\r\n" and length:
                return self._file.read(length)
        return b""

    def close(self) -> None:
        """Watch no more."""
        self._file.close()
        self.socket.close()

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while (line := self._file.readline().strip().decode()) and ":" in line:
            name, value = line.split(":", 1)
            found[name.lower()] = value.strip()
        return found


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, for as long as a test may wait at most."""
    end = time.monotonic() + BOUND_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        pause.wait(0.005)
