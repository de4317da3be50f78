"""``mem`` and ``swap``: memory as /proc/meminfo reports it, and the traffic of swap space."""

from __future__ import annotations

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement
from collectors.system.files import read

#: Field, its name in /proc/meminfo, and the help (proc_meminfo(5)).
_BYTES = (
    ("total", "MemTotal", "Memory that the kernel manages."),
    ("available", "MemAvailable", "Memory that programs can still take without swapping, as the kernel estimates it."),
    ("free", "MemFree", "Unused memory, not even used as a cache."),
    ("buffered", "Buffers", "Cache of raw disk blocks."),
    ("active", "Active", "Memory used recently."),
    ("inactive", "Inactive", "Memory not used recently, the first to be taken back."),
    ("commit_limit", "CommitLimit", "How much may be promised to programs where overcommitting is off."),
    ("committed_as", "Committed_AS", "How much has been promised to programs."),
    ("dirty", "Dirty", "Cache that waits to be written to disk."),
    ("high_free", "HighFree", "Unused memory that a 32-bit kernel does not map directly."),
    ("high_total", "HighTotal", "Memory that a 32-bit kernel does not map directly."),
    ("huge_page_size", "Hugepagesize", "Size of a huge page."),
    ("low_free", "LowFree", "Unused memory that a 32-bit kernel maps directly."),
    ("low_total", "LowTotal", "Memory that a 32-bit kernel maps directly."),
    ("mapped", "Mapped", "Files mapped into programs, such as libraries."),
    ("page_tables", "PageTables", "Tables that map addresses to memory."),
    ("shared", "Shmem", "Memory shared between programs, and files in tmpfs."),
    ("slab", "Slab", "The kernel's own data structures."),
    ("sreclaimable", "SReclaimable", "The part of slab that can be taken back."),
    ("sunreclaim", "SUnreclaim", "The part of slab that cannot be taken back."),
    ("swap_cached", "SwapCached", "Memory that is in swap space as well."),
    ("swap_free", "SwapFree", "Unused swap space."),
    ("swap_total", "SwapTotal", "Swap space."),
    ("vmalloc_chunk", "VmallocChunk", "Largest free block of the kernel's virtual memory."),
    ("vmalloc_total", "VmallocTotal", "The kernel's virtual memory."),
    ("vmalloc_used", "VmallocUsed", "The part of the kernel's virtual memory in use."),
    ("write_back", "Writeback", "Cache that is being written to disk."),
    ("write_back_tmp", "WritebackTmp", "Memory that file systems in user space use to write."),
)
_PAGES = (
    ("huge_pages_free", "HugePages_Free", "Huge pages not in use."),
    ("huge_pages_total", "HugePages_Total", "Huge pages."),
)

MEM = Measurement(
    "mem",
    "Memory of the machine.",
    (),
    (
        Field("used", int, "bytes", "Memory that is not available: total less available.", 0),
        Field("used_percent", float, "percent", "Share of memory that is not available.", 0, 100),
        Field("available_percent", float, "percent", "Share of memory that is available.", 0, 100),
        Field("cached", int, "bytes", "Cache of files, with the part of slab that can be taken back.", 0),
        *(Field(name, int, "bytes", help, 0) for name, _, help in _BYTES),
        *(Field(name, int, "pages", help, 0) for name, _, help in _PAGES),
    ),
)

SWAP = Measurement(
    "swap",
    "Swap space and its traffic.",
    (),
    (
        Field("total", int, "bytes", "Swap space.", 0),
        Field("used", int, "bytes", "Swap space in use.", 0),
        Field("free", int, "bytes", "Swap space not in use.", 0),
        Field("used_percent", float, "percent", "Share of swap space in use; 0 where there is none.", 0, 100),
        Field("in", int, "bytes", "Read from swap space since boot.", 0),
        Field("out", int, "bytes", "Written to swap space since boot.", 0),
    ),
)

_KEYS = tuple(
    (name, f"{key}:".encode(), scale) for table, scale in ((_BYTES, 1024), (_PAGES, 1)) for name, key, _ in table
)

#: Every kernel has these. A kernel omits others that it was built without, and their value is known to be 0: a
#: 64-bit kernel has no high memory.
_NEEDED = (b"MemTotal:", b"MemAvailable:", b"MemFree:", b"Cached:", b"SwapTotal:", b"SwapFree:")


def parse_meminfo(content: bytes) -> dict[bytes, int]:
    """Name with its colon to number, in the file's own unit. Raises ValueError when something basic is missing."""
    found: dict[bytes, int] = {}
    for line in content.splitlines():
        words = line.split(None, 2)
        try:
            found[words[0]] = int(words[1])
        except (IndexError, ValueError):
            raise ValueError(f"/proc/meminfo has {line[:80]!r} where a name and a number were expected") from None
    for key in _NEEDED:
        if key not in found:
            raise ValueError(f"/proc/meminfo has no line {key.decode()}")
    if not found[b"MemTotal:"]:
        raise ValueError("/proc/meminfo says that there is no memory at all")
    return found


def memory(found: dict[bytes, int]) -> dict[str, int | float]:
    """The fields of ``mem``."""
    fields: dict[str, int | float] = {name: found.get(key, 0) * scale for name, key, scale in _KEYS}
    total, available = fields["total"], fields["available"]
    fields["used"] = used = total - available
    fields["used_percent"] = 100 * used / total
    fields["available_percent"] = 100 * available / total
    fields["cached"] = 1024 * (found[b"Cached:"] + found.get(b"SReclaimable:", 0))
    return fields


def parse_vmstat(content: bytes, key: bytes) -> int:
    """One counter of /proc/vmstat; 0 where the kernel was built without it. Raises ValueError for no number."""
    start = content.find(b"\n" + key + b" ")
    if start < 0:
        return 0
    start += len(key) + 2
    end = content.find(b"\n", start)
    return int(content[start : end if end >= 0 else None])


def swap(found: dict[bytes, int], vmstat: bytes, page_bytes: int) -> dict[str, int | float]:
    """The fields of ``swap``.

    The kernel counts pages, of 16 KiB on a Raspberry Pi 5 and of 4 KiB elsewhere.
    """
    total, free = found[b"SwapTotal:"] * 1024, found[b"SwapFree:"] * 1024
    return {
        "total": total,
        "used": total - free,
        "free": free,
        "used_percent": 100 * (total - free) / total if total else 0.0,
        "in": parse_vmstat(vmstat, b"pswpin") * page_bytes,
        "out": parse_vmstat(vmstat, b"pswpout") * page_bytes,
    }


class Mem:
    """Reads ``mem``."""

    name = MEM.name
    compares = False

    def __init__(self, proc_root: str) -> None:
        self._path = f"{proc_root}/meminfo"
        self._series = Series("mem")

    def read(self, now: int) -> list[Metric]:
        """One sample."""
        return [Metric(self._series, memory(parse_meminfo(read(self._path))), now)]


class Swap:
    """Reads ``swap``."""

    name = SWAP.name
    compares = False

    def __init__(self, proc_root: str, page_bytes: int) -> None:
        self._root = proc_root
        self._page_bytes = page_bytes
        self._series = Series("swap")

    def read(self, now: int) -> list[Metric]:
        """One sample."""
        found = parse_meminfo(read(f"{self._root}/meminfo"))
        return [Metric(self._series, swap(found, read(f"{self._root}/vmstat"), self._page_bytes), now)]
