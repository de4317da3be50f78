"""A vendor's Debian archive on loopback: the real one's layout, with a test key, for tests to tamper with."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pysequoia import SignatureMode, Tsk, sign

from sensetig.engines.catalogue import Archive, Package

#: Contents of the package: the engine, a link to it, and a file that is not the engine.
PROGRAM = b"#!/bin/sh\necho Telegraf 1.39.3\n"


def deb(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A Debian package: an ar file of a version and two compressed tar files."""
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tar({"control": b"Package: telegraf\n"}, {}),
        "data.tar.gz": _tar(files, links or {}),
    }
    content = b"!<arch>\n"
    for name, data in parts.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        content += data + b"\n" * (len(data) % 2)
    return content


def _tar(files: dict[str, bytes], links: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            member.mode = 0o755 if "bin/" in name else 0o644
            archive.addfile(member, io.BytesIO(data))
        for name, target in links.items():
            member = tarfile.TarInfo(f"./{name}")
            member.type = tarfile.SYMTYPE
            member.linkname = target
            archive.addfile(member)
    return buffer.getvalue()


class Vendor:
    """An archive in a folder.

    Args:
        folder: the folder that the server serves.
        url: of the server, without a slash at the end.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.secret = Tsk.generate("A vendor <packages@vendor.invalid>")
        self.fingerprint = self.secret.extract_certificate().fingerprint.upper()
        self.deb = folder / "pool" / "telegraf_1.39.3-1_amd64.deb"
        self.index = folder / "dists" / "stable" / "main" / "binary-amd64" / "Packages.gz"
        self.release = folder / "dists" / "stable" / "InRelease"
        self.key = folder / "archive.key"
        self.extra = ""
        self.key.write_text(str(self.secret.extract_certificate()))
        self.write_deb(deb({"usr/bin/telegraf": PROGRAM, "etc/telegraf/telegraf.conf": b"[agent]\n"}))

    @property
    def archive(self) -> Archive:
        """The archive's entry in the data file."""
        return Archive(self.url, "stable", "main", f"{self.url}/archive.key", self.fingerprint)

    def package(self, version: str = "1.39.3-1", takes: str = "usr/bin/telegraf") -> Package:
        """The Telegraf of this archive, or another version of it."""
        return Package(self.archive, "telegraf", version, takes)

    def write_deb(self, content: bytes) -> None:
        """Publish this package, with lists and signature that fit it."""
        self.deb.parent.mkdir(parents=True, exist_ok=True)
        self.deb.write_bytes(content)
        older = content + b"older"
        self.write_index(self.entry("1.30.0-1", older) + self.entry("1.39.3-1", content))

    def entry(self, version: str, content: bytes) -> str:
        """A paragraph of the list of packages."""
        return (
            f"Package: telegraf\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{self.deb.name}\n"
            f"Size: {len(content)}\nSHA256: {sha256(content).hexdigest()}\nDescription: an engine\n of a test\n\n"
        )

    def write_index(self, text: str) -> None:
        """Publish this list of packages, with a signature that fits it."""
        self.index.parent.mkdir(parents=True, exist_ok=True)
        self.index.write_bytes(gzip.compress(text.encode(), mtime=0))
        self.sign(self.secret)

    def sign(self, secret: Tsk) -> None:
        """Sign the checksum of the list of packages."""
        data = self.index.read_bytes()
        name = self.index.relative_to(self.release.parent)
        text = f"Origin: A vendor\nSuite: stable\n{self.extra}SHA256:\n {sha256(data).hexdigest()} {len(data)} {name}\n"
        self.release.write_bytes(sign(secret.signer(), text.encode(), mode=SignatureMode.CLEAR))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Discard the log, which would clutter the test's output."""


@contextmanager
def published(folder: Path) -> Iterator[Vendor]:
    """An archive that a server on loopback serves."""
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Vendor(folder, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
