"""``python -m sensetig.jetstream``: exit with 0 if a NATS server needs a restart to store messages again.

JetStream does not recover from a failed write, such as one to a full disk: it rejects all messages until the server
restarts. The timer `sensetig-nats-check` (``ansible/roles/nats``) runs this as the condition of a restart.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

#: Exit status that lets systemd skip the restart.
SKIP = 1

_TIMEOUT_SECONDS = 5.0
_MAX_ANSWER_BYTES = 64 * 1024

#: Response of /healthz if the store accepts no writes; older servers disable JetStream then. A server that is still
#: recovering its streams responds differently.
_STUCK = re.compile(r"write error|not enabled|no space left", re.IGNORECASE)


def error_of(url: str) -> str:
    """The error that the server reports; empty if it is healthy or does not answer (systemd restarts it then)."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/healthz", timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            content = answer.read(_MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        content = error.read(_MAX_ANSWER_BYTES)
    except OSError:
        return ""
    try:
        document = json.loads(content)
    except ValueError:
        return ""
    return str(document.get("error") or "") if isinstance(document, dict) else ""


def needs_restart(error: str, free: Callable[[], int], reserve_bytes: int) -> bool:
    """Whether a restart helps: JetStream rejects messages, and its disk has space.

    Args:
        error: see :func:`error_of`.
        free: the free bytes of the disk.
        reserve_bytes: minimum free space.
    """
    return bool(_STUCK.search(error)) and free() >= reserve_bytes


def main(arguments: Sequence[str]) -> int:
    """0 to restart, :data:`SKIP` otherwise."""
    parser = argparse.ArgumentParser(prog="python -m sensetig.jetstream", description=__doc__)
    parser.add_argument("url", help="the server's monitoring address, such as http://127.0.0.1:8222")
    parser.add_argument("folder", help="folder of JetStream's data")
    parser.add_argument("reserve_megabytes", type=int, help="free space below which no restart helps")
    options = parser.parse_args(arguments)
    error = error_of(options.url)
    restart = needs_restart(
        error, lambda: shutil.disk_usage(options.folder).free, options.reserve_megabytes * 1_000_000
    )
    if error:
        print(f"NATS at {options.url}: {error[:500]}; {'restarting it' if restart else 'not restarted'}")
    return 0 if restart else SKIP


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
