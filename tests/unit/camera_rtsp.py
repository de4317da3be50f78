"""An RTSP server on loopback with one H.264 stream within its own connection, which can fall silent."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
)


def units(pictures: int, size: tuple[int, int], *, noisy: bool = False) -> list[list[bytes]]:
    """The units (RFC 6184) of each of some pictures; unless they are noisy, every one fits in a packet."""
    random = np.random.default_rng(1)
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = *size, "yuv420p"
    context.time_base, context.gop_size = Fraction(1, 10), 10
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "40"}
    found = []
    for number in range(pictures):
        planes = np.full((size[1] * 3 // 2, size[0]), 100 + number, np.uint8)
        if noisy:
            planes += random.integers(0, 60, planes.shape, np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = number
        stream = b"".join(bytes(packet) for packet in context.encode(frame))
        found.append([unit for unit in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit])
    return found


class _Handler(socketserver.StreamRequestHandler):
    pictures: list[list[bytes]]
    silent: threading.Event
    played: threading.Event

    def handle(self) -> None:
        while head := self._head():
            method, number = head[0].split(" ")[0], next(each for each in head if each.lower().startswith("cseq"))
            more, body = "", ""
            if method == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body, more = _SDP, "Content-Type: application/sdp\r\n"
            elif method == "SETUP":
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            elif method == "PLAY":
                more = "Session: 1\r\n"
            answer = f"RTSP/1.0 200 OK\r\n{number}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
            self.wfile.write(answer.encode())
            if method == "PLAY":
                self._play()
                return

    def _head(self) -> list[str]:
        lines: list[str] = []
        while line := self.rfile.readline().decode().strip():
            lines.append(line)
        return lines

    def _play(self) -> None:
        sequence = 0
        for number, picture in enumerate(self.pictures):
            for place, unit in enumerate(picture):
                last = place == len(picture) - 1
                packet = bytes([0x80, 96 | last << 7]) + sequence.to_bytes(2, "big")
                packet += (number * 9000).to_bytes(4, "big") + b"\0\0\0\1" + unit
                self.wfile.write(b"$\0" + len(packet).to_bytes(2, "big") + packet)
                sequence += 1
        self.played.set()
        self.silent.wait(60)


@contextmanager
def rtsp_camera(
    pictures: int, size: tuple[int, int] = (160, 120), *, key_frames: bool = True, garbage: int = 0
) -> Iterator[str]:
    """A camera that gives some pictures to each client, and then nothing, while the connection stays open.

    Each tenth picture is a key frame; without *key_frames* these are left out, and the camera hangs up at the end.
    After the pictures come packets that no decoder of H.264 understands, such as those of another codec.
    """
    over = threading.Event()
    if not key_frames:
        over.set()
    shown = [each for number, each in enumerate(units(pictures, size)) if key_frames or number % 10]
    shown += [[b"\x41" + bytes(range(200, 250))]] * garbage
    members = {"pictures": shown, "silent": over, "played": threading.Event()}
    handler = type("Handler", (_Handler,), members)
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"rtsp://user:secret@127.0.0.1:{server.server_address[1]}/live"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
