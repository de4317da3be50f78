"""The file of a device's calibrations. A new entry is appended, or the file stays unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from filelock import FileLock, Timeout

from collectors.core.files import write_atomic
from collectors.telemetry.calibration import CalibrationError, Entry, entries, file_name, read
from sensetig.calibration import CalibrateError

#: Seconds to wait for another process that writes its entry.
_PATIENCE = 10.0


def path_of(folder: Path, device: str) -> Path:
    """The device's file."""
    return folder / file_name(device)


def spelled(entry: Mapping[str, Any]) -> str:
    """An entry in the format of the file, one line per key: numbers in brackets are the same in JSON."""
    lines = [
        f"{key} = {json.dumps(value)}\n" if isinstance(value, list) else tomli_w.dumps({key: value})
        for key, value in entry.items()
    ]
    return "[[calibration]]\n" + "".join(lines)


def history(folder: Path, device: str) -> tuple[Entry, ...]:
    """The entries of a device, in the file's order; none if there is no file. Raises CalibrateError."""
    path = path_of(folder, device)
    try:
        text = _text(path)
        return () if text is None else entries(text, str(path), device)
    except CalibrationError as error:
        raise CalibrateError(str(error)) from None


def checked(folder: Path, device: str, entry: Mapping[str, Any]) -> str:
    """Validate an entry, and return the content of the device's file with it.

    Raises CalibrateError if the entry, or the existing file, could not be read back.
    """
    path = path_of(folder, device)
    before = _text(path)
    try:
        if before is not None:
            entries(before, str(path), device)
        text = (
            tomli_w.dumps({"device": device}) if before is None else before.rstrip("\n") + "\n"
        ) + f"\n{spelled(entry)}"
        read(text, str(path), device)
    except CalibrationError as error:
        raise CalibrateError(f"{error}; nothing was written") from None
    return text


def add(folder: Path, device: str, entry: Mapping[str, Any]) -> Path:
    """Add an entry to the device's file, atomically; return the file's path.

    Raises CalibrateError if it cannot be written, and if the entry is wrong.
    """
    path = path_of(folder, device)
    # A service of another user reads it, whatever the umask of the writer; it contains no secret.
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
        with FileLock(folder / f".{path.name}.lock", timeout=_PATIENCE):
            # A symbolic link is kept: its target is written.
            write_atomic(path.resolve(), checked(folder, device, entry), None)
    except Timeout:
        raise CalibrateError(
            f"another calibration of {device} has been writing for {_PATIENCE:g} s; nothing was written, so try again"
        ) from None
    except OSError as error:
        raise CalibrateError(
            f"{path} cannot be written: {error.strerror or error}; nothing was changed. Run this as a user who may "
            "write there, or name another folder with --calibrations"
        ) from None
    return path


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise CalibrateError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise CalibrateError(f"{path} cannot be read: {error.strerror}") from None
