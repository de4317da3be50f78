"""Delivers lines that another collector has written to a spool, in order, with their times and tags.

A collector with its own service, such as the camera, writes to a folder (``--spool DIR``) instead of a pipe from
Telegraf: it survives a restart of Telegraf and loses nothing. This collector, run by Telegraf, reads that folder:
``python -m collectors spool DIR``.

The parts: :mod:`record` is the format, :mod:`folder` the list of files, :mod:`writer` and :mod:`reader` the two
ends, :mod:`delivery` the collector.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting

if TYPE_CHECKING:
    from collectors.core.api import Collector, Context

SPOOL = Measurement(
    "spool",
    "State of a spool, every 10 s and at the start.",
    (Tag("spool", "The spool's name: the setting `name`, or the name of its folder."),),
    (
        Field("waiting_lines", int, "", "Lines that wait for delivery.", 0),
        Field("waiting_bytes", int, "bytes", "Disk space of these lines.", 0),
        Field("delivered", int, "", "Lines delivered since the last report.", 0),
        Field(
            "dropped",
            int,
            "",
            "Lines lost to a full spool, a full disk or a damaged file, since the last report.",
            0,
        ),
    ),
)

MEASUREMENTS = (SPOOL,)

DIRECTORY: Setting[str | None] = Setting(
    "directory", str, None, "The spool's folder, which the other collector has as --spool.", positional=True
)
NAME: Setting[str | None] = Setting("name", str, None, "The spool's name, its tag; by default the name of its folder.")
REDELIVER_SECONDS = Setting(
    "redeliver_seconds",
    float,
    60.0,
    "Lines delivered within this time before a restart are delivered again, since Telegraf may not have written "
    "them yet.",
    low=0,
    high=86400,
)
MAX_BYTES = Setting(
    "max_bytes",
    int,
    64 * 1024 * 1024,
    "Maximum disk space of a spool, for the collector that writes it; the oldest lines are dropped.",
    low=256 * 1024,
)
SYNC_SECONDS = Setting(
    "sync_seconds",
    float,
    60.0,
    "Maximum time before lines without an event are synced to the disk, for the collector that writes.",
    low=0,
    high=3600,
)

SETTINGS: tuple[Setting[Any], ...] = (DIRECTORY, NAME, REDELIVER_SECONDS, MAX_BYTES, SYNC_SECONDS)


def create(context: Context, /) -> Collector:
    """Return the collector, the only reader of the spool.

    Raises:
        Unavailable: no folder is given, it contains no spool, or another process reads it.
    """
    import time

    from collectors.core.api import Unavailable
    from collectors.spool.delivery import Delivery
    from collectors.spool.folder import Busy
    from collectors.spool.reader import Reader

    directory = context.values[DIRECTORY]
    if directory is None:
        raise Unavailable("no spool is named; give its folder, or set SENSETIG_SPOOL_DIRECTORY")
    try:
        reader = Reader(directory)
    except FileNotFoundError:
        raise Unavailable(
            f"there is no spool in {directory}; start the service that writes it, or name another folder"
        ) from None
    except Busy as error:
        raise Unavailable(str(error)) from None
    except NotADirectoryError:
        raise Unavailable(f"{directory} is not a folder, and a spool is one; name the spool's folder") from None
    except PermissionError as error:
        raise Unavailable(
            f"the spool {directory} cannot be read: {error.strerror}; add this user to the group of its folder"
        ) from None
    except OSError as error:
        raise Unavailable(f"the spool {directory} cannot be read: {error.strerror}; check its disk") from None
    name = context.values[NAME] or os.path.basename(os.path.abspath(directory))
    # A single batch ends with its process, so there is nothing to redeliver.
    keep = 0.0 if context.once else context.values[REDELIVER_SECONDS]
    return Delivery(reader, name, keep, context.once, context.report, context.clock_ns, time.monotonic)
