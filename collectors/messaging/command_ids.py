"""The ids of commands that have been taken, in a small file, so that a process that is started again knows them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from collectors.core.api import Unavailable
from collectors.core.files import write_atomic
from collectors.messaging.commands import ID, MAX_IDS

#: Bytes of the file at most: a thousand ids of 64 characters with their ends fit.
_MAX_BYTES = 256 * 1024


class IdFile:
    """A file with ids, written anew as a whole for each command that is taken; one process has it for itself.

    Args:
        path: the file; its folder is made.
        setting: what the setting that names it is called, for the sentences.
        complain: is told where the file was broken.

    Raises:
        Unavailable: nothing can be kept there.
    """

    def __init__(self, path: str, setting: str, complain: Callable[[str], None]) -> None:
        self._path = os.path.abspath(path)
        self._complain = complain
        folder = os.path.dirname(self._path)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            usable = os.access(folder, os.W_OK | os.X_OK)
            reason = "it may not be written by this user"
        except OSError as error:
            usable, reason = False, error.strerror or str(error)
        if not usable:
            raise Unavailable(
                f"the ids of commands cannot be kept in {folder}: {reason}; name a file in a folder of this user with "
                f"the setting {setting}"
            )

    def load(self) -> Mapping[str, float]:
        """The ids and their ends. A file that is broken is set aside, and told of: its ids are forgotten."""
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
                    f"the ids of commands in {self._path} are broken, and it cannot be renamed: {error.strerror}"
                ) from None
            self._complain(
                f"the ids of commands in {self._path} are broken, and now in {aside}: commands of the last hour could "
                "be repeated"
            )
            return {}
        return ids

    def save(self, ids: Mapping[str, float], /) -> None:
        """Write all of them, so that a power cut leaves the old file or the new one. Raises OSError."""
        write_atomic(self._path, json.dumps(dict(ids), separators=(",", ":")))


def _read(text: bytes) -> dict[str, float] | None:
    """The ids in a file, those that hold longest where there are too many; None where it is no such file."""
    try:
        document = json.loads(text) if len(text) <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    for known, until in document.items():
        if not ID.fullmatch(known) or isinstance(until, bool) or not isinstance(until, (int, float)):
            return None
        if not abs(until) < 1e12:  # which nan is not, either
            return None
    kept = sorted(document.items(), key=lambda item: item[1])[-MAX_IDS:]
    return {known: float(until) for known, until in kept}
