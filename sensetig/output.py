"""Standard output of the commands: text for any terminal, and one sentence if it cannot be written."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _OutputError(Exception):
    """Standard output cannot be written. Not an OSError, so that no command mistakes it for an error in its files."""


class _StandardOutput(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _OutputError(error.strerror) from None


@contextmanager
def standard_output() -> Iterator[None]:
    """Replace characters that the terminal lacks, and end with one sentence and status 1 if a write fails."""
    before = sys.stdout
    if before is not sys.__stdout__ or not isinstance(before, io.TextIOWrapper):
        yield  # it is closed, or a caller captures the output
        return
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_StandardOutput(before.fileno(), "wb", closefd=False)),
        encoding=before.encoding,
        errors="replace",
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except _OutputError as error:
        click.echo(f"Error: standard output cannot be written: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)  # the reader has gone, as with `| head`
    finally:
        sys.stdout = before
