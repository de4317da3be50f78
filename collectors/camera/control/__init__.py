"""Control of the camera by HTTP (:mod:`server`, :mod:`app`) and MQTT (:mod:`mqtt`).

A companion around the media: it passes every picture and event to them, and records state for the endpoints.
:mod:`command_queue` carries out requests one at a time, so that no client delays detection.

:mod:`endpoints` is the table of endpoints; :mod:`auth` checks each request; :mod:`pictures` is the live stream;
:mod:`feed` records frame times and events; :mod:`files` finds media.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from collectors.camera import settings
from collectors.camera.collector import DetectionSwitch
from collectors.camera.control.command_queue import CommandQueue, MediaSource
from collectors.camera.control.feed import EventLog, Feed
from collectors.core.api import Context, Unavailable
from collectors.core.files import read_secret
from collectors.core.settings import Values
from collectors.messaging.broker import is_loopback, read_broker
from collectors.messaging.session import ErrorQueue

if TYPE_CHECKING:
    from collectors.camera.backends import Frame
    from collectors.camera.collector import FrameListener
    from collectors.camera.control.mqtt import Commands
    from collectors.camera.control.server import Server
    from collectors.camera.control.tuning import Tuner
    from collectors.camera.detector import Detection
    from collectors.camera.events import Event
    from collectors.core.errors import ErrorReporter
    from collectors.core.line_protocol import FieldValue

    class MediaCompanion(MediaSource, FrameListener, Protocol):
        """The media: a source of files, and a companion."""


#: How long control may take to stop, in seconds.
STOP_SECONDS = 2.0

#: Minimum length of a token in characters.
MIN_TOKEN_LENGTH = 32

#: Pictures older than this, and than three frame intervals, are not live.
_STALE_SECONDS = 5.0


class Control:
    """Control of the camera around its media.

    Args:
        camera: the camera's name.
        media: receives every picture and event first, and is closed last.
        detection: pauses detection.
        context: settings, clock and error reports.
        timer: monotonic seconds.

    Raises:
        Unavailable: the settings leave HTTP or MQTT unprotected, or the address cannot be listened on.
    """

    def __init__(
        self,
        camera: str,
        media: MediaCompanion,
        detection: DetectionSwitch,
        context: Context,
        timer: Callable[[], float],
    ) -> None:
        self._media = media
        self._report: ErrorReporter = context.report
        self._timer = timer
        self._errors = ErrorQueue()
        self._feed = Feed(timer, max(_STALE_SECONDS, 3 / context.values[settings.FRAME_RATE]))
        self._event_log = EventLog(camera)
        self._detection = detection
        self._queue = CommandQueue(media, detection)
        self._tuner: Tuner | None = None
        try:
            self._commands = self._made_commands(context)
            self._server = self._made_server(camera, context.values)
            if self._server is not None:
                self._server.start()
            if self._commands is not None:
                self._commands.start()
        except ImportError as error:
            self._queue.close(0)
            raise Unavailable(f"{error}; control needs more than the camera: pip install 'sensetig[control]'") from None
        except BaseException:
            self._queue.close(0)
            raise

    @property
    def port(self) -> int | None:
        """The HTTP port, or None without HTTP."""
        return None if self._server is None else self._server.port

    def on_frame(self, frame: Frame, detection: Detection) -> None:
        """Receive a picture and the detection in it."""
        self._media.on_frame(frame, detection)
        self._feed.see()
        if self._tuner is not None:
            self._tuner.on_frame(frame)
        self._errors.drain(self._report.error)

    def on_idle(self, seconds: float) -> None:
        """Receive a time without a picture."""
        self._media.on_idle(seconds)
        self._errors.drain(self._report.error)

    def on_event(self, event: Event[Frame]) -> Mapping[str, FieldValue]:
        """Receive the start or end of an event; the fields that the media add to its point."""
        fields = self._media.on_event(event)
        self._event_log.add(event, fields)
        return fields

    def close(self) -> None:
        """Stop HTTP and MQTT within two seconds, and then close the media."""
        end = self._timer() + STOP_SECONDS

        def left() -> float:
            return max(0.0, end - self._timer())

        late = "has not stopped in time; it ends with the process"
        if self._server is not None and not self._server.stop(left()):
            self._report.error(f"the HTTP control {late}")
        if self._tuner is not None and not self._tuner.close(left()):
            self._report.error(f"the detector of the page for tuning {late}")
        if not self._queue.close(left()):
            self._report.error("the camera was still busy with a request when it was stopped")
        if self._commands is not None and not self._commands.stop(left()):
            self._report.error(f"the connection to the MQTT broker {late}")
        self._errors.drain(self._report.error)
        self._media.close()

    def _made_server(self, camera: str, values: Values) -> Server | None:
        if not values[settings.CONTROL_PORT]:
            return None

        from collectors.camera.control.app import Parts, build
        from collectors.camera.control.pictures import Pictures
        from collectors.camera.control.server import Listener, Server

        token = _token(values)
        host, certificate = _protected(values, token)
        streams = values[settings.STREAMS_MOST]
        if values[settings.CONTROL_TUNE]:
            from collectors.camera.control.tuning import Tuner

            self._tuner = Tuner(values, self._detection, self._timer)
        pictures = Pictures(self._media.snapshot_jpeg, self._feed, streams, values[settings.STREAM_FRAME_RATE])
        parts = Parts(
            camera,
            self._media,
            self._queue,
            self._detection,
            self._feed,
            self._event_log,
            pictures,
            values[settings.CLIP_SECONDS_MOST],
            streams,
            tuner=self._tuner,
        )
        where = Listener(host, values[settings.CONTROL_PORT], certificate, values[settings.CONTROL_KEY])
        return Server(build(parts, token), where, self._errors.add, pictures.stop)

    def _made_commands(self, context: Context) -> Commands | None:
        values = context.values
        url = values[settings.COMMAND_URL]
        if url is None:
            return None

        from collectors.camera.control.mqtt import Commands
        from collectors.messaging.command_ids import IdFile

        return Commands(
            read_broker(
                url,
                values[settings.COMMAND_PASSWORD_FILE],
                values[settings.COMMAND_CA_FILE],
                password_setting=settings.COMMAND_PASSWORD_FILE.name,
            ),
            values[settings.COMMAND_DEVICE] or context.host,
            tuple(name.strip() for name in values[settings.COMMAND_ALLOW].split(",") if name.strip()),
            self._queue,
            max_seconds=values[settings.CLIP_SECONDS_MOST],
            clock=lambda: context.clock_ns() / 1e9,
            ids=IdFile(values[settings.COMMAND_IDS_FILE], settings.COMMAND_IDS_FILE.name, context.report.error),
            errors=self._errors,
        )


def _protected(values: Values, token: str | None) -> tuple[str, str | None]:
    """The host and the certificate. Raises Unavailable if others could reach the port without protection."""
    host, certificate = values[settings.CONTROL_HOST], values[settings.CONTROL_CERTIFICATE]
    if values[settings.CONTROL_KEY] is not None and certificate is None:
        raise Unavailable("control_key is set and control_certificate is not; set both, or neither")
    needed = (("control_token_file", token), ("control_certificate", certificate))
    missing = [name for name, value in needed if value is None]
    if missing and not is_loopback(host):
        raise Unavailable(
            f"control_host is {host}, which others can reach, so {' and '.join(missing)} must be set too; "
            "or leave control_host at 127.0.0.1"
        )
    return host, certificate


def _token(values: Values) -> str | None:
    path = values[settings.CONTROL_TOKEN_FILE]
    if path is None:
        return None
    token = read_secret(path, "control_token_file")
    if not re.fullmatch(rf"[!-~]{{{MIN_TOKEN_LENGTH},}}", token):
        raise Unavailable(
            f"control_token_file {path} must have one token of at least {MIN_TOKEN_LENGTH} characters without blanks; "
            f"make one with: openssl rand -hex 32 > {path}"
        )
    return token
