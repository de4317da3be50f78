"""The error for a stream without pictures: finding and remedy, and never a cause that is not known."""

from __future__ import annotations

import http.server
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import cv2
import numpy as np
import pytest

from collectors.camera.backends import open_backend, stream
from collectors.camera.backends.diagnosis import Finding, explain
from collectors.core.api import Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values
from tests.unit.camera_rtsp import rtsp_camera

OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
SHOWN = "rtsp://front/…"


@pytest.fixture(autouse=True)
def _no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OPTIONS, "")
    monkeypatch.delenv(OPTIONS)
    monkeypatch.setattr(stream, "_LOOK_SECONDS", 60.0)


@pytest.mark.parametrize(
    ("found", "waited", "sentence"),
    [
        (Finding(status="401"), 0.1, "status 401; check the user and the password"),
        (Finding(status="403"), 0.1, "status 403; check the user, the password and the path"),
        (Finding(status="404"), 0.1, "status 404; check the path"),
        (Finding(status="454"), 0.1, "status 454; check the path"),
        (Finding(status="503"), 0.1, "status 503; check on the camera's own page"),
        (Finding(status="5xx"), 0.1, "status 5xx; check on the camera's own page"),
        (Finding(kinds=("audio",)), 10.0, "it sends audio, and no video; set source to the address of its video"),
        (Finding(kinds=()), 10.0, "it sends nothing, and no video"),
        (
            Finding(kinds=("video",), codec="h264", packets=20),
            10.0,
            "within 10 s: 20 h264 packets arrived, and no key frame among them, .*interval to 2 s",
        ),
        (
            Finding(kinds=("video",), codec="wmv3", packets=20, keys=2, ended=True),
            10.0,
            "20 wmv3 packets arrived, and no picture can be decoded from them, and it has ended; set another codec",
        ),
        (Finding(kinds=("video",), codec="h264"), 10.0, "it announces video and sends none; set rtsp_transport"),
        (
            Finding(refused="Connection refused"),
            0.0,
            "cannot be reached: Connection refused; check its address and port",
        ),
        (
            Finding(invalid="Invalid data"),
            0.1,
            "something that FFmpeg cannot read .*check that the path is that of a video",
        ),
        (
            Finding(silent=True),
            10.0,
            "within 10 s: nothing that FFmpeg can read has arrived; check its address, port and path",
        ),
    ],
)
def test_sentence_names_findings_and_remedies(found: Finding, waited: float, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(explain(SHOWN, found, waited, 10.0))
    said = explain(SHOWN, found, waited, 10.0)
    assert said.startswith(f"{SHOWN} delivers no frame")
    # Only these statuses point at the password.
    assert ("password" in said) == (found.status in ("401", "403", "454"))
    assert "within 10 s" not in explain(SHOWN, found, 0.0, 10.0)


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names, a page, or JPEGs in the form that the path names."""

    heads: ClassVar = {
        "plain": ("multipart/x-mixed-replace; boundary=frame", b"--frame\r\n", b"\r\n", True),
        "no-first-boundary": ("multipart/x-mixed-replace; boundary=frame", b"--frame\r\n", b"\r\n", True),
        "no-length": ("multipart/x-mixed-replace; boundary=frame", b"--frame\r\n", b"\r\n", False),
        "quoted": ('multipart/x-mixed-replace; boundary="frame"', b"--frame\r\n", b"\r\n", True),
        "dashes": ("multipart/x-mixed-replace; boundary=--frame", b"--frame\r\n", b"\r\n", True),
        "other-boundary": ("multipart/x-mixed-replace; boundary=frame", b"--another\r\n", b"\r\n", True),
        "no-dashes": ("multipart/x-mixed-replace; boundary=frame", b"frame\r\n", b"\r\n", False),
        "line-feeds": ("multipart/x-mixed-replace; boundary=frame", b"--frame\n", b"\n", True),
        "line-feeds-no-length": ("multipart/x-mixed-replace;boundary=frame", b"--frame\n", b"\n", False),
        "no-boundary-named": ("multipart/x-mixed-replace", b"--frame\r\n", b"\r\n", True),
        "jpegs": ("image/jpeg", b"", b"", False),
        "too-short": ("multipart/x-mixed-replace; boundary=frame", b"--frame\r\n", b"\r\n", True),
        "too-long": ("multipart/x-mixed-replace; boundary=frame", b"--frame\r\n", b"\r\n", True),
        "no-type": ("application/octet-stream", b"--frame\r\n", b"\r\n", True),
    }

    def do_GET(self) -> None:
        name = self.path.strip("/")
        if name.isdigit():
            self.send_response(int(name))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if name == "page":
            page = b"<html><title>Log in</title>" + b"<p>Nothing here</p>" * 400
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)
            return
        kind, boundary, end, length = self.heads[name]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        for number in range(20):
            time.sleep(0.02)  # the rate of a camera
            body = cv2.imencode(".jpg", np.full((120, 160, 3), 10 * number, np.uint8))[1].tobytes()
            if name != "no-first-boundary" or number:
                self.wfile.write(boundary)
            if end:
                self.wfile.write(b"Content-Type: image/jpeg" + end)
            if length:
                wrong = {"too-short": -50, "too-long": 200}.get(name, 0)
                self.wfile.write(b"Content-Length: %d" % (len(body) + wrong) + end)
            self.wfile.write(end + body + end)

    def log_message(self, format: str, *args: object) -> None:
        """Discard the log; the test itself makes the requests."""


class Rtsp(socketserver.StreamRequestHandler):
    """Respond with the status in the path, and record the requested transports."""

    sdp = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:track1\r\n"
    )
    transports: list[str]

    def handle(self) -> None:
        while head := self._head():
            method, path = head[0].split(" ")[:2]
            number = next(each for each in head if each.lower().startswith("cseq"))
            self.transports.extend(each for each in head if each.lower().startswith("transport"))
            status, body = "200 OK", ""
            if method == "DESCRIBE":
                name = path.rpartition("/")[2]
                status, body = (f"{name} No", "") if name.isdigit() else (status, self.sdp)
            more = "Session: 1\r\n"
            if method == "SETUP":
                more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            if body:
                more += "Content-Type: application/sdp\r\n"
            self.wfile.write(
                f"RTSP/1.0 {status}\r\n{number}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            if method == "PLAY":
                # Silence, 20 ms of it in each packet.
                packets = (
                    bytes([0x80, 0])
                    + each.to_bytes(2, "big")
                    + (each * 160).to_bytes(4, "big")
                    + b"\0\0\0\1"
                    + b"\xff" * 160
                    for each in range(500)
                )
                self.wfile.write(b"".join(b"$\0" + len(each).to_bytes(2, "big") + each for each in packets))

    def _head(self) -> list[str]:
        lines: list[str] = []
        while line := self.rfile.readline().decode().strip():
            lines.append(line)
        return lines


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def web() -> socketserver.TCPServer:
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)


def rtsp(transports: list[str] | None = None) -> socketserver.TCPServer:
    handler = type("Handler", (Rtsp,), {"transports": [] if transports is None else transports})
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    return server


def said(url: str, **values: object) -> str:
    """The error for a stream."""
    given = {"source": url, "timeout_seconds": 30.0, "reconnect_seconds": 0.0, **values}
    with pytest.raises(Unavailable) as caught:
        open_backend(Values(given), ErrorReporter("camera", lambda _: None), lambda: 10**18, lambda: 0.0)
    return str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 500, 503])
def test_status_of_an_http_camera_is_reported(status: int) -> None:
    with serving(web()) as port:
        sentence = said(f"http://user:secret@127.0.0.1:{port}/{status}")
    assert f"it answers with status {status};" in sentence
    assert "secret" not in sentence
    assert "within" not in sentence


@pytest.mark.parametrize(("status", "shown"), [(401, "401"), (404, "404"), (503, "5xx")])
def test_status_of_an_rtsp_camera_is_reported(status: int, shown: str) -> None:
    with serving(rtsp()) as port:
        sentence = said(f"rtsp://user:secret@127.0.0.1:{port}/{status}")
    assert f"it answers with status {shown};" in sentence
    assert "secret" not in sentence


def test_audio_without_video_is_reported() -> None:
    with serving(rtsp()) as port:
        assert "it sends audio, and no video;" in said(f"rtsp://127.0.0.1:{port}/live")


def test_a_page_instead_of_a_stream_is_reported() -> None:
    with serving(web()) as port:
        assert "it answers with something that FFmpeg cannot read (" in said(f"http://127.0.0.1:{port}/page")


@pytest.mark.parametrize("form", Answers.heads)
def test_jpegs_play_in_every_form_of_multipart(form: str) -> None:
    with serving(web()) as port:
        url = f"http://127.0.0.1:{port}/{form}"
        capture, image = stream.open_stream(url, "the camera", Values({"source": url, "timeout_seconds": 60.0}))
        levels = [round(float(image.mean()) / 10)]
        while capture.grab():
            found, image = capture.retrieve()
            if found and not capture.damaged:
                levels.append(round(float(image.mean()) / 10))
        capture.release()
    # A stream that is opened in another way begins again, and FFmpeg cannot know whether the last pictures are whole.
    assert set(levels) >= set(range(18))


def test_refused_connection_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # a port that nothing listens on
        sentence = said(f"rtsp://127.0.0.1:{taken.getsockname()[1]}/live")
    assert "cannot be reached: Connection refused" in sentence


@pytest.mark.parametrize(
    ("transport", "environment", "expected"),
    [("tcp", None, "RTP/AVP/TCP"), ("udp", None, "RTP/AVP/UDP"), ("udp", "rtsp_transport;tcp", "RTP/AVP/TCP")],
)
def test_rtsp_transport_is_requested_unless_the_options_of_opencv_are_set(
    transport: str, environment: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment is not None:
        monkeypatch.setenv(OPTIONS, environment)
    transports: list[str] = []
    with serving(rtsp(transports)) as port:
        said(f"rtsp://127.0.0.1:{port}/live", rtsp_transport=transport)
    assert expected in transports[0]


def test_missing_key_frame_is_reported() -> None:
    with rtsp_camera(90, key_frames=False) as url:
        sentence = said(url)
    assert "81 h264 packets arrived, and no key frame among them" in sentence


def test_stream_whose_packets_can_no_longer_be_decoded_is_lost_with_their_number() -> None:
    errors: list[str] = []
    with rtsp_camera(10, garbage=40) as url:
        given = {"source": url, "timeout_seconds": 60.0, "reconnect_seconds": 0.0}
        backend = open_backend(
            Values(given), ErrorReporter("camera", errors.append), time.time_ns, lambda: 20 * time.monotonic()
        )
        frames = backend.frames(lambda _seconds: False)
        with pytest.raises(Unavailable) as caught:
            list(frames)
        backend.close()
    assert re.search(r"has delivered no frame for 60 s; \d+ packets arrived that cannot be decoded", str(caught.value))
