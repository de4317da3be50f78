"""The interface of a store of device state: documents with revisions, written only if the revision still holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol


class StoreError(Exception):
    """The store could not be read or written; the message is one sentence with the reason and the remedy."""


class Stored(NamedTuple):
    """A document and its revision."""

    document: bytes
    revision: int


class Change(NamedTuple):
    """A document to write if the device still has this revision; None means that it has no document yet."""

    device: str
    document: bytes
    revision: int | None


class Store(Protocol):
    """Documents by device. A call takes several devices, since it may cost a sync of the card or a round trip."""

    @property
    def kind(self) -> str:
        """``sqlite`` or ``nats``."""
        ...

    def read(self, devices: Sequence[str]) -> Mapping[str, Stored]:
        """Return the documents of those devices that have one. Raises StoreError."""
        ...

    def write(self, changes: Sequence[Change]) -> Mapping[str, int]:
        """Write documents and return the new revision of each device written; the others are conflicts.

        Raises StoreError; some or all may have been written all the same.
        """
        ...

    def devices(self) -> Iterable[str]:
        """Return every device that has a document. Raises StoreError."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...
