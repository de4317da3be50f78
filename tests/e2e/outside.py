"""Files that the cache lacks and that come from outside: a sentence names them and the place of the search."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

#: Time limit of a response in seconds, and pip's retries; without them, a network that drops packets costs minutes.
ANSWER_SECONDS, RETRIES = 30, 2

#: Message of pip when it retries a transfer.
_BROKEN = re.compile(r"after connection broken by (.*)")


class Unreachable(RuntimeError):
    """A part is not in the cache and cannot be downloaded. The message is one sentence."""


def reach_archive(suite: str, mirror: str, cache: Path) -> None:
    """Raise Unreachable unless the archive of an operating system responds."""
    address = f"{mirror}/dists/{suite}/Release"
    try:
        urllib.request.urlopen(address, timeout=ANSWER_SECONDS).close()  # noqa: S310
    except (urllib.error.URLError, TimeoutError) as error:
        raise Unreachable(
            f"packages of {suite} are not in the cache {cache}, and {address} cannot be reached: {error}"
        ) from None


def pip(command: str, what: str, cache: Path, *arguments: str | Path, seconds: float) -> None:
    """Run pip.

    Args:
        command: such as ``download``.
        what: description of the wheels for messages.
        cache: the folder that lacks them.
        arguments: of the command.
        seconds: time limit.

    Raises:
        Unreachable: pip's index cannot be reached.
        RuntimeError: the command fails otherwise.
    """
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check",
            f"--timeout={ANSWER_SECONDS}", f"--retries={RETRIES}", *arguments,
        ],
        capture_output=True, text=True, check=False, timeout=seconds,
    )  # fmt: skip
    if done.returncode == 0:
        return
    if broken := _BROKEN.findall(done.stderr):
        raise Unreachable(f"{what} are not in the cache {cache}, and pip cannot reach its index: {broken[-1]}")
    raise RuntimeError(f"pip cannot {command} {what}: {done.stderr[-2000:]}")
