"""A collector under a debugger, while Telegraf or systemd runs it: ``SENSETIG_DEBUG=sensehat:5678``.

debugpy then listens on loopback alone, since whoever reaches it may run any code as the collector's user; a tunnel
leads there. Without the variable nothing of this is imported.
"""

from __future__ import annotations

from typing import NamedTuple

from collectors.core.settings import SettingsError

#: The variable that switches it on.
VARIABLE = "SENSETIG_DEBUG"


class Wanted(NamedTuple):
    """What is to be debugged.

    Args:
        collector: its name.
        port: on loopback.
        wait: whether it begins only when a debugger is there.
    """

    collector: str
    port: int
    wait: bool


def parse(text: str) -> Wanted:
    """What the variable says: ``NAME:PORT``, or ``NAME:PORT:wait``.

    Raises:
        SettingsError: it is of another form.

    >>> parse("sensehat:5678:wait")
    Wanted(collector='sensehat', port=5678, wait=True)
    """
    name, _, rest = text.partition(":")
    port, _, wait = rest.partition(":")
    if not (name.isidentifier() and port.isascii() and port.isdigit() and wait in ("", "wait")):
        raise SettingsError(f"{VARIABLE} is {text!r}; expected NAME:PORT or NAME:PORT:wait, such as sensehat:5678")
    if not 1024 <= int(port) <= 65535:
        raise SettingsError(f"{VARIABLE} is {text!r}; expected a port from 1024 to 65535")
    return Wanted(name, int(port), bool(wait))


def listen(wanted: Wanted) -> None:
    """Let a debugger attach from now on.

    Raises:
        ImportError: debugpy is not installed.
        SettingsError: the port is taken.
    """
    import os
    import sys

    # Python's own frozen modules cannot be stepped through, which is no fault and would be a warning in the log.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    try:
        import debugpy
    except ImportError:
        raise ImportError("there is no debugpy, which SENSETIG_DEBUG wants: pip install 'sensetig[debug]'") from None
    try:
        debugpy.listen(("127.0.0.1", wanted.port))
    except (OSError, RuntimeError) as error:
        raise SettingsError(f"no debugger can attach on port {wanted.port}: {error}") from None
    print(f"I! {wanted.collector}: a debugger may attach on 127.0.0.1:{wanted.port}", file=sys.stderr, flush=True)
    if wanted.wait:
        debugpy.wait_for_client()
