"""Objects in the images of motion events: detected by the built-in people detector, a model file, or an endpoint.

A streaming collector: Telegraf runs it with ``inputs.execd`` and ``signal = "none"``. Images wait in a durable queue of
an MQTT broker, so that the camera never waits for slow detection. Without a broker, the collector has no input.

The parts: :mod:`snapshot` is the message with an image; :mod:`sources` the queue; :mod:`engines` detect objects;
:mod:`retry_queue` stores images that failed; :mod:`collector` connects them.
"""

from __future__ import annotations

import os
from errno import EACCES
from typing import TYPE_CHECKING

from collectors.vision import settings
from collectors.vision.measurements import CAMERA_DETECTION, VISION

if TYPE_CHECKING:
    from collectors.core.api import Collector, Context
    from collectors.vision.sources import Source

MEASUREMENTS = (CAMERA_DETECTION, VISION)

SETTINGS = settings.SETTINGS

#: Read by the libraries when they are loaded: the collector reports errors itself, and one thread is enough.
_LIBRARY_ENVIRONMENT = {"OPENCV_LOG_LEVEL": "SILENT", "OPENBLAS_NUM_THREADS": "1"}

_DAY_SECONDS = 86_400


def create(context: Context, /) -> Collector:
    """Create the collector, with its engine loaded and connecting to its queue.

    Raises:
        NotApplicable: neither a broker nor an image is configured.
        Unavailable: the engine or the queue cannot be used with these settings.
    """
    from collectors.core.api import NotApplicable, Unavailable

    values = context.values
    if values[settings.URL] is None and values[settings.PICTURES] is None:
        raise NotApplicable(
            "neither a broker nor pictures are set; name one in the setting url or pictures, or in SENSETIG_VISION_URL"
        )

    import time

    for name, value in _LIBRARY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)

    from collectors.messaging.session import topic_level
    from collectors.vision.collector import VisionCollector
    from collectors.vision.engines import open_engine
    from collectors.vision.retry_queue import RetryQueue

    engine = open_engine(values, context.report.error)
    retry_queue = None
    if values[settings.PICTURES] is None:
        folder = values[settings.KEEP_DIR]
        limit = round(values[settings.KEEP_MEGABYTES] * 1e6)
        try:
            retry_queue = RetryQueue(folder, limit, values[settings.KEEP_DAYS], context.clock_ns)
            if values[settings.ENGINE] == "http":
                os.makedirs(folder, mode=0o700, exist_ok=True)
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise PermissionError(EACCES, os.strerror(EACCES))
        except OSError as error:
            raise Unavailable(
                f"images cannot be stored in {folder}: {error.strerror}; set keep_dir to a folder of this user"
            ) from None

    return VisionCollector(
        engine,
        _open_source(context),
        retry_queue,
        settings.load_config(values),
        context.report,
        device=topic_level(context.host),
        timer=time.monotonic,
        stopwatch=time.perf_counter,
    )


def _open_source(context: Context) -> Source:
    from collectors.messaging.broker import read_broker
    from collectors.messaging.session import topic_level
    from collectors.vision.sources import Files, Queue

    values = context.values
    pictures = values[settings.PICTURES]
    if pictures is not None:
        return Files(pictures)
    broker = read_broker(values[settings.URL] or "", values[settings.PASSWORD_FILE], values[settings.CA_FILE])
    return Queue(
        broker,
        values[settings.TOPIC],
        values[settings.CLIENT_ID] or f"sensetig-vision-{topic_level(context.host)}",
        round(values[settings.QUEUE_DAYS] * _DAY_SECONDS),
    )
