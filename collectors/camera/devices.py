"""The cameras that the kernel has found. Nothing here needs numpy, so that every command can ask."""

from __future__ import annotations

import os
import re

from collectors.core.api import Unavailable

#: Drivers of devices that are not cameras, or parts of a camera that needs libcamera.
_IGNORED_DRIVERS = ("unicam", "rp1-cfe", "bcm2835-isp", "bcm2835-codec", "pispbe", "rpivid", "rpi-hevc-dec")
_LIBCAMERA = ("unicam", "rp1-cfe")

_CHOICES = (
    "name a video file, a device or a URL with SENSETIG_CAMERA_SOURCE, "
    "or select a simulated scene with SENSETIG_CAMERA_BACKEND=simulated"
)


def find_device(sys_root: str, *, csi: bool = True) -> str | None:
    """Find the camera to use: None for a CSI camera, otherwise the first Video4Linux device.

    Args:
        sys_root: where sysfs is mounted.
        csi: whether a CSI camera may be used.

    Raises:
        Unavailable: there is none; the message names the choices.
    """
    root = os.path.join(sys_root, "class/video4linux")
    try:
        nodes = sorted((each for each in os.listdir(root) if re.fullmatch(r"video\d+", each)), key=lambda n: int(n[5:]))
    except FileNotFoundError:
        nodes = []
    drivers = {node: os.path.basename(os.path.realpath(os.path.join(root, node, "device/driver"))) for node in nodes}
    if csi and any(driver in _LIBCAMERA for driver in drivers.values()):
        return None
    for node, driver in drivers.items():
        # A USB camera has a second node, for metadata, with another index.
        if driver not in _IGNORED_DRIVERS and _read(os.path.join(root, node, "index")) in ("0", ""):
            return f"/dev/{node}"
    raise Unavailable(f"no camera is connected; {_CHOICES}")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""
