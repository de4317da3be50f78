"""Runs a collector once in a process, as Telegraf's ``inputs.exec`` does."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import NamedTuple

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import ParseError, decode_lines

#: Maximum size of a collector's standard output, and of its standard error.
_MAX_BYTES = 1024 * 1024

#: How long to wait for the pipes of a killed collector.
_CLOSE_SECONDS = 5.0


class Collected(NamedTuple):
    """The result of a collector.

    Args:
        failure: one sentence; empty on success.
    """

    metrics: list[Metric]
    failure: str = ""


async def collect(name: str, seconds: float, python: str = sys.executable) -> Collected:
    """Run a collector once.

    Args:
        seconds: timeout, after which it is killed.
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
        # Reading the rest closes the pipes; one that a grandchild holds open is abandoned.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.communicate(), _CLOSE_SECONDS)
    if out is None or said is None:
        return Collected([], f"it prints more than {_MAX_BYTES} bytes")
    return collected(out.decode("utf-8", "replace"), said.decode("utf-8", "replace"), status)


def collected(out: str, said: str, status: int) -> Collected:
    """The result of a collector from its output and exit status.

    A collector that fails prints only its self-metric, which a failure discards.
    """
    if status:
        lines = said.strip().splitlines()
        return Collected([], lines[0].removeprefix("E! ")[:300] if lines else f"it has ended with status {status}")
    try:
        return Collected(list(decode_lines(out)))
    except ParseError as error:
        return Collected([], f"its output is not line protocol: {error}")


async def _all_of(stream: asyncio.StreamReader, process: asyncio.subprocess.Process) -> bytes | None:
    """The whole stream, or None if it is too long; then the process is killed."""
    parts: list[bytes] = []
    size = 0
    while part := await stream.read(65536):
        size += len(part)
        if size <= _MAX_BYTES:
            parts.append(part)
        elif process.returncode is None:
            process.kill()
    return b"".join(parts) if size <= _MAX_BYTES else None
