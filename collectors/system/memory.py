"""``mem`` and ``swap``: memory from /proc/meminfo, and the traffic of the swap space."""

from __future__ import annotations

from collections.abc import Callable

from collectors.core.line_protocol import Metric, Series
from collectors.core.schema import Field, Measurement
from collectors.system.files import read, sentence

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
        Field("used_percent", float, "percent", "Share of swap space in use; 0 without any.", 0, 100),
        Field("in", int, "bytes", "Read from swap space since boot.", 0),
        Field("out", int, "bytes", "Written to swap space since boot.", 0),
    ),
)

_KEYS = tuple(
    (name, f"{key}:".encode(), scale) for table, scale in ((_BYTES, 1024), (_PAGES, 1)) for name, key, _ in table
)

#: Every kernel has these. A kernel omits others that it was built without, which count as 0: a 64-bit kernel has no
#: high memory.
_NEEDED = frozenset((b"MemTotal:", b"MemAvailable:", b"MemFree:", b"Cached:", b"SwapTotal:", b"SwapFree:"))

#: Maximum number of kibibytes whose value in bytes fits a 64-bit field.
_MAX_NUMBER = (2**63 - 1) // 1024

Refuse = Callable[[str], None]


def parse_meminfo(content: bytes, refuse: Refuse) -> dict[bytes, int | None]:
    """Name with its colon -> number, in the file's own unit; None if the line contains no valid number.

    Args:
        refuse: receives a sentence for each line in another format.
    """
    found: dict[bytes, int | None] = {}
    for line in content.split(b"\n"):
        # Some kernels in containers end the file with NULs.
        name, colon, rest = line.strip(b"\0").partition(b":")
        words = rest.split(None, 1)
        if colon and words and words[0].isdigit() and (number := int(words[0])) <= _MAX_NUMBER:
            found[name + colon] = number
        elif name.strip():
            refuse(f"/proc/meminfo has {line[:80]!r} where a name and a number were expected")
            if colon:
                found[name + colon] = None
    return found


def _number(found: dict[bytes, int | None], key: bytes) -> int | None:
    """The number of a line; None if it is invalid, or missing although every kernel has it."""
    return found.get(key, None if key in _NEEDED else 0)


def memory(found: dict[bytes, int | None], refuse: Refuse) -> dict[str, int | float]:
    """The fields of ``mem``, without missing or invalid lines. Raises ValueError without the total."""
    fields: dict[str, int | float] = {
        name: number * scale for name, key, scale in _KEYS if (number := _number(found, key)) is not None
    }
    total, available = fields.get("total"), fields.get("available")
    if not total:
        why = "says that there is no memory at all" if total == 0 else "has no line MemTotal:"
        raise ValueError(f"/proc/meminfo {why}")
    if available is None:
        refuse("/proc/meminfo does not say how much memory is available")
    elif available > total:
        refuse(f"/proc/meminfo has {available} bytes of memory available, of {total}")
        del fields["available"]
    else:
        fields["used"] = used = total - available
        fields["used_percent"] = 100 * used / total
        fields["available_percent"] = 100 * available / total
    cached, reclaimable = _number(found, b"Cached:"), _number(found, b"SReclaimable:")
    if cached is not None and reclaimable is not None:
        fields["cached"] = 1024 * (cached + reclaimable)
    return fields


def parse_vmstat(content: bytes, key: bytes) -> int:
    """A counter in /proc/vmstat; 0 if the kernel was built without it. Raises ValueError for an invalid number."""
    start = content.find(b"\n" + key + b" ")
    if start < 0:
        return 0
    start += len(key) + 2
    end = content.find(b"\n", start)
    return int(content[start : end if end >= 0 else None])


def swap(found: dict[bytes, int | None], refuse: Refuse) -> dict[str, int | float]:
    """The fields about space in ``swap``; missing and invalid values are left out."""
    total, free = _number(found, b"SwapTotal:"), _number(found, b"SwapFree:")
    fields: dict[str, int | float] = {}
    if total is not None:
        fields["total"] = total * 1024
    if free is not None:
        fields["free"] = free * 1024
    if total is None or free is None:
        refuse("/proc/meminfo does not say how much swap space there is and is free")
    elif free > total:
        refuse(f"/proc/meminfo has {free} KiB of swap space free, of {total}")
        del fields["free"]
    else:
        fields["used"] = (total - free) * 1024
        fields["used_percent"] = 100 * (total - free) / total if total else 0.0
    return fields


def traffic(vmstat: bytes, page_bytes: int, refuse: Refuse) -> dict[str, int | float]:
    """The traffic fields of ``swap``.

    The kernel counts pages, of 16 KiB on a Raspberry Pi 5 and of 4 KiB elsewhere.
    """
    fields: dict[str, int | float] = {}
    for name, key in (("in", b"pswpin"), ("out", b"pswpout")):
        try:
            fields[name] = parse_vmstat(vmstat, key) * page_bytes
        except ValueError:
            refuse(f"/proc/vmstat has no number after {key.decode()}")
    return fields


class Mem:
    """Reads ``mem``."""

    name = MEM.name
    compares = False

    def __init__(self, proc_root: str, error: Refuse) -> None:
        self._path = f"{proc_root}/meminfo"
        self._error = error
        self._series = Series("mem")

    def read(self, now: int) -> list[Metric]:
        """One sample."""
        found = parse_meminfo(read(self._path), self._refuse)
        return [Metric(self._series, memory(found, self._refuse), now)]

    def _refuse(self, refused: str) -> None:
        self._error(f"mem: {refused}")


class Swap:
    """Reads ``swap``."""

    name = SWAP.name
    compares = False

    def __init__(self, proc_root: str, page_bytes: int, error: Refuse) -> None:
        self._root = proc_root
        self._page_bytes = page_bytes
        self._error = error
        self._series = Series("swap")

    def read(self, now: int) -> list[Metric]:
        """One sample."""
        # Invalid lines are errors of mem; only those of swap are reported here.
        fields = swap(parse_meminfo(read(f"{self._root}/meminfo"), lambda _: None), self._refuse)
        try:
            fields |= traffic(read(f"{self._root}/vmstat"), self._page_bytes, self._refuse)
        except OSError as problem:
            self._refuse(sentence(problem))
        return [Metric(self._series, fields, now)]

    def _refuse(self, refused: str) -> None:
        self._error(f"swap: {refused}")
