"""Health checks of the containers: ``health.py socket PATH`` and ``health.py fresh SECONDS FOLDER``.

Each ends with status 0 where the service is healthy, and else with 1 and a sentence, which the engine keeps.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence

#: Seconds in which a service must answer.
ANSWER_SECONDS = 5.0


def answers(path: str) -> str:
    """Why the HTTP server at a Unix socket is not healthy; empty where it answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_SECONDS)
            client.connect(path)
            # The one route takes POST: the answer is 405, and nothing is written.
            client.sendall(b"GET /api/v2/write HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n")
            answer = client.recv(64)
    except OSError as error:
        return f"{path} does not answer: {error.strerror or error}"
    return "" if answer.startswith(b"HTTP/1.1 ") else f"{path} answers no HTTP"


def is_fresh(folder: str, seconds: float, now: float) -> str:
    """Why the files in a folder are not fresh; empty where one was written within *seconds* before *now*."""
    try:
        with os.scandir(folder) as entries:
            newest = max((entry.stat().st_mtime for entry in entries if entry.is_file()), default=None)
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    if newest is None:
        return f"{folder} has no file yet"
    age = now - newest
    return "" if age <= seconds else f"nothing was written to {folder} for {age:.0f} s"


def main(arguments: Sequence[str]) -> int:
    """Check, and print a sentence where something is wrong."""
    match arguments:
        case ["socket", path]:
            reason = answers(path)
        case ["fresh", seconds, folder]:
            reason = is_fresh(folder, float(seconds), time.time())
        case _:
            reason = "usage: health.py socket PATH | fresh SECONDS FOLDER"
    if reason:
        print(reason)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
