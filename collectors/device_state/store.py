"""What a store of device state does: documents, each with a revision, written only where the revision still holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol


class StoreError(Exception):
    """The store could not be read or written; the message says in one sentence why, and what to do."""


class Stored(NamedTuple):
    """A document with the revision that it was read at."""

    document: bytes
    revision: int


class Change(NamedTuple):
    """A document to be written, if the device's revision is still this one; None: if it has none yet."""

    device: str
    document: bytes
    revision: int | None


class Store(Protocol):
    """Documents by device. Several devices go in one call, since each call may cost a sync of the card, or a way
    through the network."""

    @property
    def kind(self) -> str:
        """``sqlite`` or ``nats``."""
        ...

    def read(self, devices: Sequence[str]) -> Mapping[str, Stored]:
        """The documents of those devices that have one. Raises StoreError."""
        ...

    def write(self, changes: Sequence[Change]) -> Mapping[str, int]:
        """The new revision of each device that was written; the others are conflicts.

        Raises StoreError; then it may be that some, or all, were written all the same.
        """
        ...

    def devices(self) -> Iterable[str]:
        """Every device that has a document. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
