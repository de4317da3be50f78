"""The ids of accepted commands in a small file, so that a restarted process rejects them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from collectors.core.api import Unavailable
from collectors.core.files import write_atomic
from collectors.messaging.commands import ID, MAX_IDS, MAX_SPENT, UsedIds, forget

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

    def load(self) -> UsedIds:
        """The ids and their expiry times. A damaged file is moved aside and reported; its ids are lost."""
        try:
            with open(self._path, "rb") as file:
                text = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return UsedIds()
        except OSError as error:
            raise Unavailable(f"the ids of commands in {self._path} cannot be read: {error.strerror}") from None
        used = _read(text)
        if used is None:
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
            return UsedIds()
        return used

    def save(self, used: UsedIds, /) -> None:
        """Replace the file; a power cut leaves the old one or the new one. Raises OSError."""
        document = {"ids": dict(used.ids), "first": dict(used.first), "spent": used.spent}
        write_atomic(self._path, json.dumps(document, separators=(",", ":")))


def _read(text: bytes) -> UsedIds | None:
    """Parse the ids; if there are too many, keep those that expire last. None if the file is damaged.

    A file of an earlier version has only the ids.
    """
    try:
        document = json.loads(text) if len(text) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    if not isinstance(document.get("ids"), dict):
        document = {"ids": document, "first": {}, "spent": []}
    ids, first, spent = (document.get(key) for key in ("ids", "first", "spent"))
    if not isinstance(ids, dict) or not isinstance(first, dict) or not first.keys() <= ids.keys():
        return None
    if not all(ID.fullmatch(known) and _is_time(until) for each in (ids, first) for known, until in each.items()):
        return None
    if not isinstance(spent, list) or len(spent) > MAX_SPENT or not all(map(_is_interval, spent)):
        return None
    used = UsedIds(ids, first, tuple((low, high) for low, high in spent))
    return forget(used, sorted(ids, key=ids.__getitem__)[:-MAX_IDS], 0.0)


def _is_interval(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_time, value)) and value[0] <= value[1]


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12  # excludes NaN
