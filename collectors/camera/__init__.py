"""Motion events with a thumbnail, and the status of the camera: from a device, a file, a stream or a simulated scene.

A streaming collector: Telegraf runs it with ``inputs.execd`` and ``signal = "none"``. One process owns a camera, so
it is never started per interval. numpy and OpenCV are imported when the collector is created, not before.

The parts: :mod:`backends` deliver frames with their times; :mod:`detector` finds motion in a frame; :mod:`events`
groups detections into events; :mod:`collector` connects them. :mod:`media` keeps snapshots and clips if a folder is
set; :mod:`control` and :mod:`publish` are optional.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from collectors.camera import settings
from collectors.camera.measurements import CAMERA, CAMERA_EVENT

if TYPE_CHECKING:
    from collectors.core.api import Collector, Context

MEASUREMENTS = (CAMERA, CAMERA_EVENT)

SETTINGS = settings.SETTINGS

#: Read by the libraries when they are loaded. OpenCV and FFmpeg stay off stderr, since the collector reports errors
#: itself; numpy's threads, one per core with memory for each, would never be used.
_LIBRARY_ENVIRONMENT = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENBLAS_NUM_THREADS": "1"}


def create(context: Context, /) -> Collector:
    """Create the collector on its backend, which has delivered its first frame unless it is simulated.

    Raises:
        Unavailable: the camera, file or stream does not exist or delivers no frame, or a setting is invalid.
    """
    import time

    for name, value in _LIBRARY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)

    from collectors.camera.backends import open_backend
    from collectors.camera.collector import CameraCollector, DetectionSwitch, FrameListener
    from collectors.camera.media import Media
    from collectors.camera.schedule import Schedule

    config = settings.load_config(context.values)
    backend = open_backend(context.values, context.report, context.clock_ns, time.monotonic)
    try:
        media = Media(backend, context.values, context.report, context.clock_ns)
    except Exception:
        backend.close()
        raise
    detection = DetectionSwitch(Schedule(config.schedule))
    listener: FrameListener = media
    if settings.control_enabled(context.values):
        from collectors.camera.control import Control

        try:
            listener = Control(backend.name, media, detection, context, time.monotonic)
        except Exception:
            media.close()
            backend.close()
            raise
    listeners = [listener]
    if context.values[settings.PUBLISH_URL] is not None:
        from collectors.camera.publish import open_publisher

        try:
            listeners.append(open_publisher(context.values, context.host, backend, context.report))
        except Exception:
            listener.close()
            backend.close()
            raise
    return CameraCollector(
        backend,
        config,
        context.report,
        context.clock_ns,
        timer=time.monotonic,
        stopwatch=time.perf_counter,
        listeners=listeners,
        detection=detection,
    )
