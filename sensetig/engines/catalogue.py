"""The content of ``engines.toml``: versions, archives, builds, and the packages of build tools."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple


class Archive(NamedTuple):
    """A vendor's Debian archive.

    Args:
        url: its root, without a trailing slash.
        suite: the folder under ``dists``.
        component: the folder under the suite.
        key: the address of the vendor's public key.
        fingerprint: the primary key's, 40 hexadecimal digits in upper case.
    """

    url: str
    suite: str
    component: str
    key: str
    fingerprint: str


class Package(NamedTuple):
    """An engine in a vendor's archive.

    Args:
        archive: the archive.
        name: the Debian package.
        version: its full Debian version.
        takes: the path of the engine: a file, or a folder with a trailing slash.
    """

    archive: Archive
    name: str
    version: str
    takes: str


class OsPackage(NamedTuple):
    """An engine in a package of the operating system; only the program is extracted.

    Args:
        name: the Debian package.
        takes: the path of the engine.
    """

    name: str
    takes: str


class Build(NamedTuple):
    """An engine built from a Go module that pins it.

    Args:
        module: the module's folder, such as ``engines``.
        package: the Go package of its program.
        tags: the build tags that are always set.
        plugins: whether to add a tag for each plugin that the configuration names.
        cgo: whether C code is linked in.
        variables: the values that the linker sets.
        pkg_config: the Go package of a replacement for pkg-config, or None.
        needs: the keys of :attr:`Catalogue.needs`.
        duration: the approximate duration, in words.
        extra: plugins beyond those named in the configuration, each with its reason.
    """

    module: str
    package: str
    tags: tuple[str, ...]
    plugins: bool
    cgo: bool
    variables: Mapping[str, str]
    pkg_config: str | None
    needs: tuple[str, ...]
    duration: str
    extra: Mapping[str, str]


class Spec(NamedTuple):
    """One engine.

    Args:
        name: its key; the program's own name if it is a single program.
        title: its name in sentences.
        version: the version from archives and builds.
        accepts: the compatible versions, as a PEP 440 specifier.
        programs: its names on PATH.
        version_arguments: arguments that make the program print its version.
        home: the variable that names its folder, or None if the engine is a single program.
        needed: whether the bundle requires it.
        architectures: Debian's names of the supported architectures.
        without: the consequences or the remedy if it is unavailable.
        package: the vendor's package, or None if the vendor has no archive.
        os_package: the operating system's package, or None if that is not used.
        build: its build, or None if it is not built.
    """

    name: str
    title: str
    version: str
    accepts: str
    programs: tuple[str, ...]
    version_arguments: tuple[str, ...]
    home: str | None
    needed: bool
    architectures: tuple[str, ...]
    without: str
    package: Package | None
    os_package: OsPackage | None
    build: Build | None


class Need(NamedTuple):
    """A program of the operating system.

    Args:
        program: its name on PATH.
        title: its name in sentences.
        minimum: the minimum version, or None for any.
        packages: Debian packages that contain it, best first.
        together: packages to install with it.
        otherwise: another source.
    """

    program: str
    title: str
    minimum: str | None
    packages: tuple[str, ...]
    together: tuple[str, ...]
    otherwise: str


class Catalogue(NamedTuple):
    """The content of the data file."""

    engines: Mapping[str, Spec]
    needs: Mapping[str, Need]
    brokers: Mapping[str, Need]


def load() -> Catalogue:
    """Load the bundle's data file."""
    return parse((files(__package__) / "engines.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Catalogue:
    """Parse a data file; a missing key raises KeyError."""
    document = tomllib.loads(text)
    archives = {name: Archive(**entry) for name, entry in document.pop("archives").items()}
    needs = {name: _need(name, entry) for name, entry in document.pop("needs").items()}
    brokers = {name: _need(name, entry) for name, entry in document.pop("brokers").items()}
    return Catalogue({name: _spec(name, entry, archives) for name, entry in document.items()}, needs, brokers)


def _spec(name: str, entry: dict[str, Any], archives: Mapping[str, Archive]) -> Spec:
    return Spec(
        name,
        entry["title"],
        entry["version"],
        entry["accepts"],
        tuple(entry["programs"]),
        tuple(entry["version_arguments"]),
        entry.get("home"),
        entry["needed"],
        tuple(entry["architectures"]),
        entry["without"],
        _package(entry["archive"], archives) if "archive" in entry else None,
        OsPackage(entry["os_package"]["package"], entry["os_package"]["takes"]) if "os_package" in entry else None,
        _build(entry["build"]) if "build" in entry else None,
    )


def _package(entry: dict[str, Any], archives: Mapping[str, Archive]) -> Package:
    return Package(archives[entry["vendor"]], entry["package"], entry["package_version"], entry["takes"])


def _build(entry: dict[str, Any]) -> Build:
    return Build(
        entry["module"],
        entry["package"],
        tuple(entry["tags"]),
        entry["plugins"],
        entry["cgo"],
        entry["variables"],
        entry.get("pkg_config"),
        tuple(entry["needs"]),
        entry["duration"],
        entry.get("extra", {}),
    )


def _need(program: str, entry: dict[str, Any]) -> Need:
    return Need(
        program,
        entry["title"],
        entry.get("minimum"),
        tuple(entry["packages"]),
        tuple(entry.get("with", ())),
        entry.get("otherwise", entry.get("without", "")),
    )
