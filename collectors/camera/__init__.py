"""Motion events with a thumbnail, and the status of the camera, from a device, a file, a stream or a simulated scene.

A streaming collector: Telegraf runs it with ``inputs.execd`` and ``signal = "none"``. One process owns a
camera, so it is never started for each interval. numpy and OpenCV are imported when it is created, not before.

The parts: :mod:`backends` give pictures with their times; :mod:`detector` says what changed in a picture;
:mod:`events` makes events of that; :mod:`thumbnail` encodes a picture; :mod:`watch` joins
them, and :mod:`media`, where a folder is set, keeps snapshots and clips.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from collectors.camera import control_settings, publish_settings, settings
from collectors.camera.measurements import CAMERA, CAMERA_EVENT

if TYPE_CHECKING:
    from collectors.core.api import Collector, Context

MEASUREMENTS = (CAMERA, CAMERA_EVENT)

SETTINGS = settings.SETTINGS

#: Read by the libraries when they are loaded. What goes wrong is said in our own sentence, so OpenCV and FFmpeg
#: keep off stderr; and numpy's threads, one for each core and with memory of their own, would never be used.
_LIBRARIES = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENBLAS_NUM_THREADS": "1"}


def create(context: Context, /) -> Collector:
    """The collector on its backend, which has given its first picture where it is not simulated.

    Raises:
        Unavailable: there is no such camera, file or stream, or it gives no picture; or a mask is none.
    """
    import time

    for name, value in _LIBRARIES.items():
        os.environ.setdefault(name, value)

    from collectors.camera.backends import open_backend
    from collectors.camera.media import Media
    from collectors.camera.switch import Switch
    from collectors.camera.watch import Companion, Watch

    what = settings.plan(context.values)
    backend = open_backend(context.values, context.report, context.clock_ns, time.monotonic)
    try:
        media = Media(backend, context.values, context.report, context.clock_ns)
    except Exception:
        backend.close()
        raise
    detection = Switch()
    along: Companion = media
    if control_settings.asked_for(context.values):
        from collectors.camera.control import Control

        try:
            along = Control(backend.name, media, detection, context, time.monotonic)
        except Exception:
            media.close()
            backend.close()
            raise
    companions = [along]
    if context.values[publish_settings.PUBLISH_URL] is not None:
        from collectors.camera.publish import open_publisher

        try:
            companions.append(open_publisher(context.values, context.host, backend, context.report))
        except Exception:
            along.close()
            backend.close()
            raise
    return Watch(
        backend,
        what,
        context.report,
        context.clock_ns,
        timer=time.monotonic,
        stopwatch=time.perf_counter,
        companions=companions,
        detection=detection,
    )
