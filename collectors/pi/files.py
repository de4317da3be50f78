"""Read the kernel's files into declared fields; failures are reported with the file's name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from collectors.core.errors import ASLEEP
from collectors.core.line_protocol import FieldValue
from collectors.core.schema import Measurement

T = TypeVar("T")


def read_text(path: str) -> str:
    """Read a small file of the kernel. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 16384).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


class Files:
    """Reads files and checks their values.

    Args:
        read_text: returns a file's text, or raises OSError.
        report: receives a sentence for each failed reading.
    """

    def __init__(self, read_text: Callable[[str], str], report: Callable[[str], None]) -> None:
        self._read_text = read_text
        self._report = report

    def read(self, path: str, parse: Callable[[str], T]) -> T | None:
        """The parsed content of a file; None after an error, which is reported with the file's name."""
        try:
            text = self._read_text(path)
        except OSError as error:
            if error.errno not in ASLEEP:
                self._report(f"{path} cannot be read: {error.strerror or error}")
            return None
        try:
            return parse(text)
        except ValueError:
            self._report(f"{path} holds {' '.join(text.split())[:80]!r}, which is not a reading")
            return None

    def names(self, folder: str) -> list[str]:
        """The sorted names in a folder; empty if there is no such folder, because boards differ."""
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._report(f"{folder} cannot be listed: {error.strerror or error}")
            return []

    def take(
        self,
        fields: dict[str, FieldValue],
        measurement: Measurement,
        name: str,
        path: str,
        parse: Callable[[str], FieldValue | None],
    ) -> None:
        """Read one field from a file; None from the parser means no data."""
        value = self.read(path, parse)
        if value is not None:
            self.put(fields, measurement, name, value, path)

    def put(
        self, fields: dict[str, FieldValue], measurement: Measurement, name: str, value: FieldValue, source: str
    ) -> None:
        """Store a value that its declaration admits, and report any other."""
        field = measurement.field(name)
        if field.admits(value):
            fields[name] = value
        else:
            self._report(f"{source} gives {name} {value}; it is valid from {field.low} to {field.high}")
