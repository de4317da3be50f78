"""A machine's disk as an ext4 image in a file, which can be full and can lose its power.

Power cut: all processes of the machine are stopped, the image is copied below the mounted file system, and the copy
replaces it. The copy contains the data that had reached the disk; the page cache is lost, and the next mount replays
the journal. A write cache in the drive and torn sectors are not simulated.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

#: More than the outbox and InfluxDB keep free together.
_MEGABYTES = 2000


class NoImages(Exception):
    """This machine cannot mount images; the message has the reason."""


class Disk:
    """A folder, optionally on a separate file system.

    Args:
        folder: the folder of the files.
        image: the file that holds the file system, or None for a plain folder.

    Raises:
        NoImages: an image cannot be mounted.
    """

    def __init__(self, folder: Path, image: Path | None) -> None:
        self.folder = folder
        self._image = image
        folder.mkdir(parents=True)
        if image is not None:
            with image.open("wb") as file:
                file.truncate(_MEGABYTES * 1024 * 1024)
            _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", str(image))
            self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.folder))

    def sync(self) -> None:
        """Bring to the disk what an installation has brought there long ago."""
        _run("sync", "--file-system", str(self.folder))

    def fill(self) -> None:
        """Take all free space."""
        with (self.folder / "filler").open("wb") as file:
            step = 64 * 1024 * 1024
            size = 0
            while step >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
                except OSError:
                    step //= 2

    def empty(self) -> None:
        """Release the space that :meth:`fill` took."""
        (self.folder / "filler").unlink(missing_ok=True)

    def snapshot(self) -> None:
        """Copy the disk's current contents; the machine's processes are stopped."""
        assert self._image is not None
        _run("cp", "--sparse=always", str(self._image), f"{self._image}.cut")

    def cut(self) -> None:
        """Revert to the snapshot; the machine's processes have ended."""
        self._unmount()
        Path(f"{self._image}.cut").replace(self._image or "")
        self._mount()

    def _unmount(self) -> None:
        _run("umount", str(self.folder))

    def close(self) -> None:
        if self._image is not None:
            with suppress(NoImages):
                self._unmount()


def check(folder: Path) -> None:
    """Mount an image once. Raises NoImages where that does not work."""
    if os.geteuid() != 0:
        raise NoImages("only root can mount images")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        Disk(Path(name) / "disk", Path(name) / "image").close()


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise NoImages(f"there is no {command[0]}")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise NoImages(f"{command[0]} fails: {done.stderr.strip()}")
