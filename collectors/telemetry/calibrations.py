"""The folder of calibrations: one file per device, read on its first sample, and again after a change."""

from __future__ import annotations

import os
from collections.abc import Callable
from stat import S_ISREG
from typing import Any, NamedTuple

from collectors.core.settings import Setting
from collectors.telemetry.calibration import MAX_CHARACTERS, CalibrationError, Curve, file_name, read

#: The folder of the calibrations. The operator writes it; the readers need no write permission.
CALIBRATIONS: Setting[str] = Setting(
    "calibrations", str, "/etc/sensetig/calibrations", "Folder of the calibrations, a file a device; empty for none."
)
CALIBRATION_RECHECK: Setting[float] = Setting(
    "calibration_recheck_seconds", float, 5.0, "Interval of checks for a changed file of calibrations.", low=0
)
CALIBRATION_DEVICES: Setting[int] = Setting(
    "calibration_devices", int, 20_000, "Devices whose calibrations are held in memory at most.", low=1
)
CALIBRATION_SETTINGS: tuple[Setting[Any], ...] = (CALIBRATIONS, CALIBRATION_RECHECK, CALIBRATION_DEVICES)

#: A UTF-8 character has at most four bytes.
_MAX_BYTES = 4 * MAX_CHARACTERS

#: Identity of a version of a file: modification time, size, inode; or an error number; or None.
_Version = tuple[int, ...] | None


class _Known(NamedTuple):
    curves: tuple[Curve, ...]
    version: _Version
    due: float


class Calibrations:
    """The curves of each device.

    Args:
        folder: the folder of the files; empty for no calibration. It need not exist.
        complain: receives one sentence for each rejected change of a file. The previous curves stay in effect, because
            a calibration lost by a typing error would appear as a step in the data.
        recheck_seconds: minimum interval of checks of a device's file.
        most: maximum number of devices; the oldest is dropped for a new one.
    """

    def __init__(
        self,
        folder: str,
        complain: Callable[[str], None],
        timer: Callable[[], float],
        recheck_seconds: float = CALIBRATION_RECHECK.default,
        most: int = CALIBRATION_DEVICES.default,
    ) -> None:
        self._folder = folder
        self._complain = complain
        self._timer = timer
        self._recheck_seconds = recheck_seconds
        self._most = most
        self._known: dict[str, _Known] = {}
        self._unreadable = False

    def of(self, device: str) -> tuple[Curve, ...]:
        """The device's curves by start of validity: the same object until its file changes."""
        known = self._known.get(device)
        now = self._timer()
        if known is not None and now < known.due:
            return known.curves
        known = self._look(device, known, now + self._recheck_seconds)
        if device not in self._known and len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[device] = known
        return known.curves

    def _look(self, device: str, known: _Known | None, due: float) -> _Known:
        """The state after a check of the file."""
        if not self._folder:
            return _Known((), None, due)
        before: tuple[Curve, ...] = known.curves if known is not None else ()
        path = os.path.join(self._folder, file_name(device))
        version: _Version = None
        try:
            version = _version(os.stat(path))
            if known is not None and version == known.version:
                return known._replace(due=due)
            version, text = _read(path)
            self._unreadable = False
            return _Known(read(text, path, device), version, due)
        except FileNotFoundError:
            return _Known((), None, due)
        except CalibrationError as error:
            self._complain(f"{error}; until then what held before is used")
        except OSError as error:
            version = (error.errno or 0,)
            if known is None or version != known.version:
                self._complain_of(path, error)
        return _Known(before, version, due)

    def _complain_of(self, path: str, error: OSError) -> None:
        """Report an error: one of the whole folder only once, however many devices there are."""
        if os.path.isdir(self._folder) and os.access(self._folder, os.X_OK):
            self._complain(f"{path}: the calibration cannot be read: {error.strerror}; what held before is used")
        elif not self._unreadable:
            self._unreadable = True
            self._complain(
                f"{self._folder}: the calibrations cannot be read: {error.strerror}; let the user of this process read "
                "the folder, or name another with the setting calibrations"
            )


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: str) -> tuple[tuple[int, ...], str]:
    """The version and the content of the same file. Raises OSError and CalibrationError."""
    # A pipe instead of the file must not block until a writer opens it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise CalibrationError(f"{path} is no file; remove it, or put a file of calibrations there")
        content = file.read(_MAX_BYTES + 1)
    try:
        return _version(status), content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
