"""The platform in Debian's terms, and the check of an engine's version."""

from __future__ import annotations

import platform
import re
import struct
import sys

from packaging.specifiers import SpecifierSet
from packaging.version import Version

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_NUMBER = re.compile(r"\d+\.\d+(?:\.\d+)*")


def architecture(machine: str, pointer_bits: int) -> str:
    """Debian's name of the architecture of this machine's programs.

    Args:
        machine: the output of ``uname -m``, which is the kernel's: a Pi with a 32-bit system may have a 64-bit kernel.
        pointer_bits: 32 or 64, of this interpreter, which is a program of this machine.
    """
    name = _ARCHITECTURES.get(machine.lower(), machine.lower())
    if name.startswith("arm") and pointer_bits == 32:
        return "armhf"
    return "i386" if name == "amd64" and pointer_bits == 32 else name


def here() -> tuple[str, str]:
    """The operating system and the architecture of this machine: ``("linux", "arm64")``."""
    return sys.platform, architecture(platform.machine(), struct.calcsize("P") * 8)


def version_in(text: str) -> str | None:
    """The first version number in a program's output, or None."""
    match = _NUMBER.search(text)
    return match[0] if match else None


def will_do(version: str, accepts: str) -> bool:
    """Whether a version matches the specifier."""
    return Version(version) in SpecifierSet(accepts)
