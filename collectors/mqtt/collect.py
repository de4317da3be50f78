"""One batch of a collector, asked for from elsewhere: a process of its own, as for Telegraf's ``inputs.exec``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import NamedTuple

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import ParseError, decode_lines

#: Bytes that a collector may print, of lines and of sentences; with more it has failed.
_MAX_BYTES = 1024 * 1024

#: How long the pipes of a collector that was killed are waited for.
_LET_GO_SECONDS = 5.0


class Collected(NamedTuple):
    """What a collector gave.

    Args:
        failure: why there is nothing, in one sentence; empty where it went well.
    """

    metrics: list[Metric]
    failure: str = ""


async def collect(name: str, seconds: float, python: str = sys.executable) -> Collected:
    """Run a collector once.

    Args:
        seconds: how long it may take; then it is killed.
    """
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "collectors",
        name,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    reading = asyncio.gather(_all_of(process.stdout, process), _all_of(process.stderr, process), process.wait())
    try:
        out, said, status = await asyncio.wait_for(reading, seconds)
    except TimeoutError:
        return Collected([], f"it has not ended within {seconds:g} s")
    finally:
        if process.returncode is None:
            process.kill()
        # What it had still written is taken from the pipe, which lets go of it; one that a grandchild holds is left.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.communicate(), _LET_GO_SECONDS)
    if out is None or said is None:
        return Collected([], f"it prints more than {_MAX_BYTES} bytes")
    return collected(out.decode("utf-8", "replace"), said.decode("utf-8", "replace"), status)


def collected(out: str, said: str, status: int) -> Collected:
    """What a collector gave, from what it printed and its exit status.

    A collector that could not collect prints its own counts alone; so a failure has points of no other measurement.
    """
    if status:
        lines = said.strip().splitlines()
        return Collected([], lines[0].removeprefix("E! ")[:300] if lines else f"it has ended with status {status}")
    try:
        return Collected(list(decode_lines(out)))
    except ParseError as error:
        return Collected([], f"what it prints is no line protocol: {error}")


async def _all_of(stream: asyncio.StreamReader, process: asyncio.subprocess.Process) -> bytes | None:
    """Everything until its end; None where that is too much, for which the process is killed."""
    parts: list[bytes] = []
    size = 0
    while part := await stream.read(65536):
        size += len(part)
        if size <= _MAX_BYTES:
            parts.append(part)
        elif process.returncode is None:
            process.kill()
    return b"".join(parts) if size <= _MAX_BYTES else None
