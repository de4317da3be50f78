"""Debug a collector that Telegraf or systemd runs: ``SENSETIG_DEBUG=sensehat:5678``.

debugpy then listens only on loopback, because a client can run any code as the collector's user; use a tunnel to reach
it. Without the variable, none of this is imported.
"""

from __future__ import annotations

from typing import NamedTuple

from collectors.core.settings import SettingsError

#: The variable that enables it.
VARIABLE = "SENSETIG_DEBUG"


class Wanted(NamedTuple):
    """The collector to debug.

    Args:
        collector: its name.
        port: on loopback.
        wait: whether it starts only once a debugger is attached.
    """

    collector: str
    port: int
    wait: bool


def parse(text: str) -> Wanted:
    """Parse the variable: ``NAME:PORT``, or ``NAME:PORT:wait``.

    Raises:
        SettingsError: it has another form.

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
    """Start to listen for a debugger.

    Raises:
        ImportError: debugpy is not installed.
        SettingsError: the port is in use.
    """
    import os
    import sys

    # pydevd warns that it cannot step through Python's frozen modules, which is harmless.
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
