"""The second source: a cache outside the tree, keyed by version, which all checkouts share.

An engine's folder is created under another name and renamed when it is complete.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import platformdirs
from filelock import FileLock, Timeout

from sensetig.engines.catalogue import Spec
from sensetig.engines.engine import Engine
from sensetig.engines.installed import program_of

_RECORD = "sensetig.json"


def top(environ: Mapping[str, str]) -> Path:
    """The root of all caches: SENSETIG_CACHE, or the user's cache folder."""
    folder = environ.get("SENSETIG_CACHE") or platformdirs.user_cache_dir("sensetig", appauthor=False)
    return Path(folder).absolute()  # because compilers run in another folder


def root(environ: Mapping[str, str]) -> Path:
    """The folder of all engines."""
    return top(environ) / "engines"


class Key(NamedTuple):
    """The identity of an engine in the cache.

    Args:
        name, version: the engine's.
        system, architecture: of the machine; a home folder may be shared between machines.
        plugins: the fingerprint of the plugins of a Telegraf built with only these; None if it has all.
    """

    name: str
    version: str
    system: str
    architecture: str
    plugins: str | None = None

    @property
    def folder(self) -> str:
        """The name of its folder: ``telegraf-1.39.3-0123456789ab-linux-amd64``."""
        return "-".join(part for part in (*self[:2], self.plugins, *self[2:4]) if part)


class Cache:
    """The engines under one folder.

    Args:
        folder: need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, spec: Spec, key: Key) -> Engine | None:
        """The engine of that key, or None."""
        home = self.folder / key.folder
        path = home if spec.home else home / spec.name
        if not os.access(program_of(spec, path), os.X_OK):
            return None
        try:
            record = json.loads((home / _RECORD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Engine(spec.name, record.get("version", key.version), path, f"the cache ({record['source']})")

    def log(self, key: Key) -> Path:
        """The log file of a build with that key."""
        return self.folder / f"{key.folder}.log"

    @contextmanager
    def lock(self, key: Key, say: Callable[[str], None]) -> Iterator[None]:
        """Prevent other processes from obtaining the same engine; wait until they are done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{key.name}-{key.version}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{key.name}: another process is getting it; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def staging(self, key: Key) -> Iterator[Path]:
        """An empty folder on the cache's file system, removed at the end unless it was installed."""
        folder = Path(tempfile.mkdtemp(prefix=f".{key.folder}-", dir=self.folder))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def install(self, key: Key, staged: Path, source: str, version: str | None = None) -> None:
        """Move a complete folder into place atomically.

        Args:
            key: its identity.
            staged: the folder, on the same file system.
            source: the source of its content, in words.
            version: its version, if it may differ from the key's, for example in a package of an operating system.
        """
        record = {"source": source, "version": version or key.version}
        (staged / _RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
        target = self.folder / key.folder
        shutil.rmtree(target, ignore_errors=True)  # a folder without a program or a record, never a complete one
        staged.rename(target)
