"""The third source: the vendors' Debian archives, with checksum and signature verified before anything is unpacked.

The chain of trust is that of apt: the fingerprint of the primary key is known; the key signs InRelease; InRelease has
the checksum of Packages, and Packages has that of the package.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sensetig.engines.catalogue import Archive, Package
from sensetig.engines.engine import EngineUnavailable

#: Seconds allowed for a host to respond at all.
ANSWER_SECONDS = 4.0

#: Maximum time without progress of a transfer, in seconds.
STALL_SECONDS = 30.0

#: Seconds between progress reports of a transfer.
REPORT_SECONDS = 5.0

_INDEXES: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("Packages.xz", lzma.decompress),
    ("Packages.gz", gzip.decompress),
    ("Packages", bytes),
)


def unpack(
    package: Package,
    architecture: str,
    target: Path,
    say: Callable[[str], None],
    *,
    patience: float = ANSWER_SECONDS,
    now: datetime | None = None,
) -> None:
    """Fetch a package, verify it, and extract the engine from it.

    Args:
        package: the package, with its archive.
        architecture: Debian's name.
        target: the program to write, or the folder to fill.
        say: receives a sentence about progress.
        patience: seconds allowed for the host to respond.
        now: the current time; an expired signature is rejected.

    Raises:
        EngineUnavailable: the host does not respond, a checksum or a signature does not match, or there is no such
            version. Nothing is written then.
    """
    archive = package.archive
    with tempfile.TemporaryDirectory(prefix="sensetig-") as name:
        folder = Path(name)
        key = _first_answer(archive, patience)
        base = f"{archive.url}/dists/{archive.suite}"
        signed = _fetch(f"{base}/InRelease", None, folder).read_bytes()
        release = read_release(believed(archive, key, signed), archive, now or datetime.now(UTC))
        index_path, checksum, expand = choose_index(release, archive, architecture)
        try:
            index = expand(_fetch(f"{base}/{index_path}", checksum, folder).read_bytes())
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise EngineUnavailable(f"{base}/{index_path} cannot be unpacked: {error}") from error
        path, checksum = choose_package(index, package, architecture)
        say(f"fetching {package.name} {package.version} from {archive.url}")
        progress = Progress(lambda text: say(f"{text} of {package.name} {package.version}"), time.monotonic)
        deb = _fetch(f"{archive.url}/{path}", checksum, folder, progress)
        say("checksum and signature hold; unpacking")
        extract(deb, f"{package.name} {package.version}", package.takes, target)


def _first_answer(archive: Archive, patience: float) -> bytes:
    """The key, or an error within seconds: the resolver alone would wait half a minute if it has several servers."""
    host = urlsplit(archive.key).hostname
    answer: list[bytes | EngineUnavailable] = []

    def ask() -> None:
        # A separate folder: the caller's folder may be gone when a late response arrives.
        with tempfile.TemporaryDirectory(prefix="sensetig-") as folder:
            try:
                answer.append(_fetch(archive.key, None, Path(folder), timeout=patience).read_bytes())
            except EngineUnavailable as error:
                answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    if not answer:
        raise EngineUnavailable(f"{host} did not answer within {patience:g} s")
    if isinstance(answer[0], EngineUnavailable):
        raise answer[0]
    return answer[0]


def believed(archive: Archive, keys: bytes, signed: bytes) -> bytes:
    """The text of an InRelease file, after its signature has been verified.

    Args:
        archive: its fingerprint is the trust anchor.
        keys: public keys, armoured or not; only the one with that fingerprint is trusted.
        signed: the clear-signed text.

    Raises:
        EngineUnavailable: the key is not among them, or has not signed this.
    """
    try:
        from pysequoia import Cert, verify
    except ImportError as error:  # no wheel for this architecture
        raise EngineUnavailable(
            "signatures cannot be verified without pysequoia; install sensetig with its extra engines"
        ) from error

    try:
        certificates = Cert.split_bytes(keys)
    except RuntimeError as error:
        raise EngineUnavailable(f"{archive.key} is no public key: {_first_line(error)}") from error
    known = [certificate for certificate in certificates if certificate.fingerprint.upper() == archive.fingerprint]
    if not known:
        found = ", ".join(certificate.fingerprint.upper() for certificate in certificates) or "none"
        raise EngineUnavailable(
            f"{archive.key} has the fingerprint {found}, and not {archive.fingerprint}: nothing from there is believed"
        )
    try:
        checked = verify(bytes=signed, store=lambda _: known)
    except RuntimeError as error:
        raise EngineUnavailable(
            f"the signature of {archive.url} is not by {archive.fingerprint}: {_first_line(error)}"
        ) from error
    text = checked.bytes
    signers = {signature.certificate.upper() for signature in checked.valid_sigs}
    if text is None or archive.fingerprint not in signers:
        raise EngineUnavailable(f"{archive.url} is not signed by {archive.fingerprint}")
    return text


def _first_line(error: Exception) -> str:
    # The library may append a traceback.
    return str(error).partition("\n")[0].rstrip(".")


def read_release(text: bytes, archive: Archive, now: datetime) -> Mapping[str, Any]:
    """The fields of a Release file that has not expired.

    Args:
        text: the verified text.
        archive: for messages.
        now: with a time zone.
    """
    from debian.deb822 import Release

    release = Release(text)
    until = release.get("Valid-Until")
    if until is not None and parsedate_to_datetime(until) < now:
        raise EngineUnavailable(f"what {archive.url} has signed was valid until {until}")
    return release


def choose_index(
    release: Mapping[str, Any], archive: Archive, architecture: str
) -> tuple[str, str, Callable[[bytes], bytes]]:
    """The path, SHA-256 and decompressor of the list of packages."""
    checksums = {entry["name"]: entry["sha256"] for entry in release.get("SHA256", ())}
    for name, expand in _INDEXES:
        path = f"{archive.component}/binary-{architecture}/{name}"
        if path in checksums:
            return path, checksums[path], expand
    raise EngineUnavailable(f"{archive.url} has no packages for {architecture}")


def choose_package(index: bytes, package: Package, architecture: str) -> tuple[str, str]:
    """The path and SHA-256 of a package.

    Args:
        index: the text of a Packages file.
        package: its name and version.
        architecture: Debian's name.
    """
    from debian.deb822 import Packages

    others = []
    for entry in Packages.iter_paragraphs(io.BytesIO(index), use_apt_pkg=False):
        if entry["Package"] != package.name or entry["Architecture"] not in (architecture, "all"):
            continue
        if entry["Version"] == package.version:
            if "SHA256" not in entry:
                raise EngineUnavailable(f"{package.archive.url} has no SHA-256 of {package.name} {package.version}")
            return entry["Filename"], entry["SHA256"]
        others.append(entry["Version"])
    newest = f"; it has {', '.join(others[-3:])}" if others else ""
    raise EngineUnavailable(f"{package.archive.url} has no {package.name} {package.version} for {architecture}{newest}")


def extract(deb: Path, title: str, takes: str, target: Path) -> None:
    """Extract the engine from a verified package: one file, or everything below one folder.

    Args:
        deb: the package.
        title: its name and version, for messages.
        takes: the path of the engine: a file, or a folder with a trailing slash.
        target: the file, or the folder.
    """
    from debian.arfile import ArError
    from debian.debfile import DebError, DebFile

    try:
        with DebFile(str(deb)) as content, content.data.tgz() as members:
            count = sum(_place(members, member, takes, target) for member in members)
    except (ArError, DebError, tarfile.TarError, OSError) as error:
        raise EngineUnavailable(f"{title} cannot be unpacked: {error}") from error
    if not count:
        raise EngineUnavailable(f"{title} has no {takes}")


def _place(members: tarfile.TarFile, member: tarfile.TarInfo, takes: str, target: Path) -> bool:
    """Write one member to its target; False if it is not part of the engine. A link becomes a copy of its target."""
    path = member.name.removeprefix("./")
    if takes.endswith("/"):
        if not path.startswith(takes) or ".." in Path(path).parts:
            return False
        target = target / path.removeprefix(takes)
    elif path != takes:
        return False
    if member.isdir():
        return False
    source = members.extractfile(member)
    if source is None:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as output:
        shutil.copyfileobj(source, output)
    target.chmod(0o755 if member.mode & 0o100 or member.issym() else 0o644)
    return True


class Progress:
    """Reports progress at intervals, with the methods that pooch calls on a progress bar.

    Args:
        say: receives text such as ``12 of 58 MB``.
        timer: monotonic seconds.
    """

    def __init__(self, say: Callable[[str], None], timer: Callable[[], float]) -> None:
        self.total = 0
        self._say = say
        self._timer = timer
        self._done = 0
        self._next = timer() + REPORT_SECONDS

    def update(self, size: int) -> None:
        """Add this number of bytes."""
        self._done += size
        if self._timer() >= self._next:
            self._next = self._timer() + REPORT_SECONDS
            self._say(f"{self._done / 1e6:.0f} of {self.total / 1e6:.0f} MB")

    def reset(self) -> None:
        """Pooch resets a bar before it fills it at the end."""
        self._done = 0

    def close(self) -> None:
        """Nothing to close."""


def _fetch(
    url: str, sha256: str | None, folder: Path, progress: Progress | None = None, timeout: float = STALL_SECONDS
) -> Path:
    """Download a file from the archive; with a checksum, the file exists only if it matches."""
    try:
        import pooch  # type: ignore[import-untyped]
    except ImportError as error:
        raise EngineUnavailable(
            "the vendors' archives are fetched with pooch; install sensetig with its extra engines"
        ) from error

    pooch.get_logger().setLevel("ERROR")  # it logs each file; print only messages for the operator
    downloader = pooch.HTTPDownloader(progressbar=progress or False, timeout=timeout)
    name = re.sub(r"\W+", "-", urlsplit(url).path)
    known = f"sha256:{sha256}" if sha256 else None
    try:
        return Path(pooch.retrieve(url, known, fname=name, path=folder, downloader=downloader))
    except ValueError as error:  # pooch's error for a checksum mismatch
        raise EngineUnavailable(f"{url} is not what its signed checksum says: it was altered on the way") from error
    except OSError as error:  # requests' errors are OSErrors
        host, path = urlsplit(url).hostname, urlsplit(url).path
        response = getattr(error, "response", None)
        if response is not None:
            response.close()  # pooch leaves it open
            raise EngineUnavailable(f"{host} answers {response.status_code} to {path}") from error
        raise EngineUnavailable(f"{host} cannot be reached: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """The innermost cause, which is the most understandable."""
    words = " ".join(str(error).split())
    inner = re.findall(r"(?:\[Errno -?\d+\] )([^'\")]+)", words)
    return inner[-1] if inner else words
