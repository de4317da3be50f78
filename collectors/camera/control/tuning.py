"""The page on which settings of detection are tried on the live picture, used, and saved to the settings file.

A second detector, with the settings under test, runs in a thread while the page is open. The camera's own detector
keeps its settings until others are used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from collectors.camera import settings
from collectors.camera.backends import Frame
from collectors.camera.collector import DetectionSwitch
from collectors.camera.detector import Detection, Detector, DetectorState
from collectors.camera.drawing import view
from collectors.camera.encoding import jpeg
from collectors.camera.pixels import Image
from collectors.camera.settings import DetectorConfig, load_config
from collectors.core.api import Unavailable
from collectors.core.files import write_atomic
from collectors.core.settings import DEFAULT_FILE, Setting, Values, variable
from collectors.core.settings_file import SettingsFileError, Value, changed, spelled

#: The second detector rests after this long without a request.
_REST_SECONDS = 10.0
#: How long a request waits for a picture.
_PICTURE_SECONDS = 1.0
#: Width of the views, in pixels.
_WIDTH = 480
_QUALITY = 75
_SECTION = "camera"


class TuningError(Exception):
    """The settings cannot be tried or saved; the message is one sentence with the reason."""


class _Sample(NamedTuple):
    """A frame and the second detector's result."""

    image: Image
    detection: Detection
    state: DetectorState


class Tuner:
    """Tries, uses and saves settings of detection.

    Args:
        values: the collector's settings.
        detection: receives the settings to use.
        timer: monotonic seconds.
        read, write: read and write the settings file.
    """

    def __init__(
        self,
        values: Values,
        detection: DetectionSwitch,
        timer: Callable[[], float],
        *,
        read: Callable[[str], str] | None = None,
        write: Callable[[str, str], None] | None = None,
    ) -> None:
        self._values = values
        self._detection = detection
        self._timer = timer
        self._read = read or _read
        self._write = write or _write
        self._used: dict[str, Value] = {each.name: values[each] for each in settings.TUNABLE}
        self._tried, self._saved = dict(self._used), dict(self._used)
        self._changed = threading.Condition()
        self._asked_at: float | None = None
        self._frame: Frame | None = None
        self._config = self._config_of(self._tried)
        self._sample: _Sample | None = None
        self._closing = False
        self._thread: threading.Thread | None = None

    def on_frame(self, frame: Frame) -> None:
        """Hand a frame to the second detector, if the page is open; never waits for it."""
        if frame.damaged:
            return
        self._frame = frame
        if self._asked_at is None:
            return
        with self._changed:
            if self._asked_at is not None and self._timer() - self._asked_at > _REST_SECONDS:
                self._asked_at, self._sample = None, None
            self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """End the thread; returns whether it ended within *seconds*."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    # --- requests ---

    def state(self) -> dict[str, Any]:
        """The settings, and the second detector's result with them."""
        self._ask()
        with self._changed:
            sample, tried, used = self._sample, dict(self._tried), dict(self._used)
        seen: dict[str, Any] | None = None
        if sample is not None:
            found = sample.detection
            seen = {
                "moving": found.moving,
                "area_percent": round(found.area_percent, 3),
                "changed_percent": round(found.changed_percent, 3),
                "score": round(found.score, 2),
                "threshold": round(sample.state.threshold, 1),
                "noise": round(sample.state.noise, 2),
                "reset": found.reset_reason,
                "brightness_percent": round(found.brightness_percent, 1),
            }
        return {
            "settings": [
                {
                    "name": each.name,
                    "help": each.help,
                    "low": each.low,
                    "high": each.high,
                    "whole": each.kind is int,
                    "text": each.kind is str,
                    "default": each.default,
                    "tried": tried[each.name],
                    "used": used[each.name],
                    "fixed_by": variable(_SECTION, each) if each.name in self._values.overriding else None,
                }
                for each in settings.TUNABLE
            ],
            "seen": seen,
            "file": self._values.file or DEFAULT_FILE,
        }

    def try_out(self, given: Mapping[str, str]) -> None:
        """Try other settings. Raises TuningError for one that is wrong."""
        tried = {**self._tried, **_parsed(given)}
        config = self._config_of(tried)
        self._ask()
        with self._changed:
            if tried != self._tried:
                self._tried, self._config, self._sample = tried, config, None

    def use(self, given: Mapping[str, str]) -> None:
        """Use other settings for detection from the next frame on, until the camera is restarted."""
        self.try_out(given)
        with self._changed:
            self._used = dict(self._tried)
            self._detection.config = self._config

    def save(self, given: Mapping[str, str]) -> str:
        """Use other settings, and write those that differ from the file's; returns the path of the file.

        Raises TuningError if they cannot be written; then nothing is changed.
        """
        tried = {**self._tried, **_parsed(given)}
        self._config_of(tried)
        path = self._values.file or DEFAULT_FILE
        new = {name: value for name, value in tried.items() if value != self._saved[name]}
        fixed = [variable(_SECTION, _setting(name)) for name in new if name in self._values.overriding]
        if fixed:
            raise TuningError(
                f"{', '.join(fixed)} or an option of the command overrides the settings file; change it there"
            )
        lines = "; ".join(spelled(name, value) for name, value in new.items())
        by_hand = f"write this into [{_SECTION}] of {path} as a user who may: {lines}"
        if new:
            try:
                self._write(path, changed(self._read(path), _SECTION, new))
            except OSError as error:
                raise TuningError(f"{path} cannot be written: {error.strerror}; {by_hand}") from None
            except SettingsFileError as error:
                raise TuningError(f"{path} was not changed: {error}; {by_hand}") from None
        self.use(given)
        self._saved = tried
        return path

    def picture(self, name: str) -> bytes:
        """A view of the newest frame as a JPEG. Raises TuningError before the first."""
        self._ask()
        with self._changed:
            self._changed.wait_for(lambda: self._sample is not None or self._closing, timeout=_PICTURE_SECONDS)
            sample = self._sample
        if sample is None:
            raise TuningError("the camera has given no picture yet")
        return jpeg(view(name, sample.image, sample.detection.box, sample.state, _WIDTH), _QUALITY)

    def _ask(self) -> None:
        """Keep the second detector running."""
        with self._changed:
            self._asked_at = self._timer()
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._work, name="camera-tuning", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _config_of(self, tried: Mapping[str, Value]) -> DetectorConfig:
        rest = {each.name: self._values[each] for each in settings.SETTINGS}
        try:
            return load_config(Values({**rest, **tried})).detector
        except Unavailable as error:
            raise TuningError(str(error)) from None

    # --- in the thread ---

    def _is_due(self, last: Frame | None) -> bool:
        if self._asked_at is None or self._frame is None:
            return False
        return self._frame is not last or self._sample is None

    def _work(self) -> None:
        detector: Detector | None = None
        config, frame = self._config, None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._is_due(frame))  # noqa: B023 - called at once
                if self._closing:
                    return
                frame = self._frame
                if self._sample is None:  # other settings, or a paused detector
                    detector, config = None, self._config
            assert frame is not None
            detector = detector or Detector(config)
            detection = detector.detect(frame.image, frame.seconds, video_range=frame.video_range)
            state = detector.state
            sample = _Sample(
                frame.colour(),
                detection,
                state._replace(
                    background=state.background.copy(), difference=state.difference.copy(), changed=state.changed.copy()
                ),
            )
            with self._changed:
                if self._config is config:
                    self._sample = sample
                    self._changed.notify_all()


def _setting(name: str) -> Setting[Any]:
    return next(each for each in settings.TUNABLE if each.name == name)


def _parsed(given: Mapping[str, str]) -> dict[str, Value]:
    parsed: dict[str, Value] = {}
    for name, text in given.items():
        setting = _setting(name)
        try:
            parsed[name] = setting.read(text)
        except ValueError:
            raise TuningError(f"{name} is {text[:64]!r}; it must be {setting.expected}") from None
    return parsed


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise SettingsFileError("it is not UTF-8") from None


def _write(path: str, text: str) -> None:
    # A symbolic link and the permissions of the file are kept.
    write_atomic(Path(path).resolve(), text, None)
