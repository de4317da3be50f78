"""The ids of accepted commands in a small file, so that a restarted process refuses them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from collectors.core.api import Unavailable
from collectors.core.files import write_atomic
from collectors.messaging.commands import ID, MAX_IDS

#: Maximum size of the file: a thousand ids of 64 characters with their expiry times fit.
_MAX_BYTES = 256 * 1024


class IdFile:
    """A file with ids, replaced for each accepted command. Only one process may use it.

    Args:
        path: the file; its folder is created.
        setting: name of the setting for the file, for error messages.
        report: receives a sentence if the file was damaged.

    Raises:
        Unavailable: the folder cannot be written to.
    """

    def __init__(self, path: str, setting: str, report: Callable[[str], None]) -> None:
        self._path = os.path.abspath(path)
        self._report = report
        folder = os.path.dirname(self._path)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            usable = os.access(folder, os.W_OK | os.X_OK)
            reason = "this user may not write to it"
        except OSError as error:
            usable, reason = False, error.strerror or str(error)
        if not usable:
            raise Unavailable(
                f"the ids of commands cannot be saved in {folder}: {reason}; name a file in a folder of this user with "
                f"the setting {setting}"
            )

    def load(self) -> Mapping[str, float]:
        """The ids and their expiry times. A damaged file is moved aside and reported; its ids are lost."""
        try:
            with open(self._path, "rb") as file:
                text = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Unavailable(f"the ids of commands in {self._path} cannot be read: {error.strerror}") from None
        ids = _read(text)
        if ids is None:
            aside = self._path + ".broken"
            try:
                os.replace(self._path, aside)
            except OSError as error:
                raise Unavailable(
                    f"the ids of commands in {self._path} are damaged, and the file cannot be renamed: {error.strerror}"
                ) from None
            self._report(
                f"the ids of commands in {self._path} are damaged, and moved to {aside}: commands of the last hour "
                "might run twice"
            )
            return {}
        return ids

    def save(self, ids: Mapping[str, float], /) -> None:
        """Replace the file; a power cut leaves the old one or the new one. Raises OSError."""
        write_atomic(self._path, json.dumps(dict(ids), separators=(",", ":")))


def _read(text: bytes) -> dict[str, float] | None:
    """The ids in a file; if there are too many, those that expire last. None if the file is damaged."""
    try:
        document = json.loads(text) if len(text) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    for known, until in document.items():
        if not ID.fullmatch(known) or isinstance(until, bool) or not isinstance(until, (int, float)):
            return None
        if not abs(until) < 1e12:  # also excludes NaN
            return None
    kept = sorted(document.items(), key=lambda item: item[1])[-MAX_IDS:]
    return {known: float(until) for known, until in kept}
