"""The sources of an engine in order: installed, cached, the vendor's archive, the system's package, a build."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from sensetig import bundle
from sensetig.engines import archive, build, installed, os_packages, platforms, plugins
from sensetig.engines.cache import Cache, Key, root
from sensetig.engines.catalogue import Catalogue, Spec, load
from sensetig.engines.engine import Engine, EngineUnavailable

Say = Callable[[str], None]


class Place(NamedTuple):
    """The environment of a search for engines; a test can replace any part.

    Args:
        catalogue: versions and sources.
        environ: the environment.
        cache: the cache.
        system, architecture: of this machine, as returned by :func:`platforms.here`.
        bundle: the folder of ``telegraf`` and, in a checkout, ``engines``.
        packages: the installer of packages of the operating system.
    """

    catalogue: Catalogue
    environ: Mapping[str, str]
    cache: Cache
    system: str
    architecture: str
    bundle: Path
    packages: os_packages.System


def here() -> Place:
    """This machine, as this user."""
    environ = os.environ
    return Place(load(), environ, Cache(root(environ)), *platforms.here(), bundle.root(), os_packages.this_system())


def wanted_plugins(spec: Spec, folder: Path) -> frozenset[str]:
    """The plugins that a Telegraf must have: those in the configuration, and the extra ones."""
    if spec.build is None or not spec.build.plugins:
        return frozenset()
    return plugins.configured(folder / "telegraf") | spec.build.extra.keys()


def locate(name: str, place: Place | None = None) -> Engine | None:
    """An installed or cached engine, or None; without network access and without a build.

    Args:
        name: its key in ``engines.toml``, such as ``telegraf``.
        place: where to look; by default this machine.
    """
    place = place or here()
    spec = place.catalogue.engines[name]
    wanted = wanted_plugins(spec, place.bundle)
    return installed.find(spec, place.environ, wanted).engine or _cached(spec, place, wanted)


def obtain(name: str, say: Say, place: Place | None = None) -> Engine:
    """Obtain an engine from the first suitable source.

    Args:
        name: its key in ``engines.toml``, such as ``telegraf``.
        say: receives a sentence about progress.
        place: the target; by default this machine.

    Raises:
        EngineUnavailable: one sentence with the reason why no source is suitable, and the remedy.
    """
    place = place or here()
    spec = place.catalogue.engines[name]
    wanted = wanted_plugins(spec, place.bundle)
    found = installed.find(spec, place.environ, wanted)
    for reason in found.reasons:
        say(f"{spec.title}: {reason}; going on to the next source")
    if engine := found.engine or _cached(spec, place, wanted):
        return engine
    whole, built = _keys(spec, place, wanted)
    try:
        with place.cache.lock(whole, say):
            # The previous holder of the lock may have fetched it.
            return _cached(spec, place, wanted) or _get(spec, place, wanted, whole, built, say)
    except OSError as error:
        raise EngineUnavailable(
            f"{spec.title} {spec.version} could not be put into the cache {place.cache.folder}: "
            f"{error.strerror or error} (SENSETIG_CACHE names another folder): {spec.without}"
        ) from error


def _keys(spec: Spec, place: Place, wanted: frozenset[str]) -> tuple[Key, Key]:
    """The keys of the engine from the vendor, and of the engine built here."""
    whole = Key(spec.name, spec.version, place.system, place.architecture)
    return whole, whole._replace(plugins=plugins.fingerprint(wanted)) if wanted else whole


def _cached(spec: Spec, place: Place, wanted: frozenset[str]) -> Engine | None:
    for key in dict.fromkeys(_keys(spec, place, wanted)):
        if engine := place.cache.find(spec, key):
            return engine
    return None


def _get(spec: Spec, place: Place, wanted: frozenset[str], whole: Key, built: Key, say: Say) -> Engine:
    if place.system == "linux" and place.architecture not in spec.architectures:
        raise EngineUnavailable(
            f"{spec.title} {spec.version} does not exist for {place.architecture}, only for "
            f"{', '.join(spec.architectures)}; {spec.without}"
        )
    sources = [
        *([(_from_archive, whole)] if spec.package else []),
        *([(_from_os_package, whole)] if spec.os_package else []),
        *([(_from_build, built)] if spec.build else []),
    ]
    reasons: list[str] = []
    for source, key in sources:
        if reasons:
            say(f"{spec.title}: {reasons[-1]}; going on to the next source")
        try:
            with place.cache.staging(key) as staged:
                origin = source(spec, place, wanted, key, staged, say)
                program = installed.program_of(spec, staged if spec.home else staged / spec.name)
                printed = installed.output(program, spec.version_arguments)
                if printed is None:
                    raise EngineUnavailable(f"what came from {origin} does not run on this machine")
                place.cache.install(key, staged, origin, platforms.version_in(printed))
        except EngineUnavailable as error:
            reasons.append(str(error))
            continue
        engine = place.cache.find(spec, key)
        assert engine is not None
        return engine._replace(source=origin)
    raise EngineUnavailable(f"{spec.title} {spec.version} is not available ({'; '.join(reasons)}): {spec.without}")


def _from_archive(spec: Spec, place: Place, _: frozenset[str], __: Key, staged: Path, say: Say) -> str:
    assert spec.package is not None
    if place.system != "linux":
        raise EngineUnavailable(f"the vendor's archive is for Linux, and this is {place.system}")
    target = staged if spec.home else staged / spec.name
    archive.unpack(spec.package, place.architecture, target, lambda text: say(f"{spec.title}: {text}"))
    return f"the vendor's archive {spec.package.archive.url}"


def _from_os_package(spec: Spec, place: Place, _: frozenset[str], __: Key, staged: Path, say: Say) -> str:
    package = spec.os_package
    assert package is not None
    system = place.packages
    version = os_packages.candidate(package.name, system) if system.debian else None
    if version is None:
        raise EngineUnavailable(f"this system has no package {package.name}")
    number = os_packages.upstream(version)
    if number is None or not platforms.will_do(number, spec.accepts):
        raise EngineUnavailable(f"this system's package {package.name} is {version}, and it takes {spec.accepts}")
    say(f"{spec.title}: taking the program from the operating system's package {package.name} {version}")
    try:
        deb = os_packages.download(package.name, version, staged, system)
    except os_packages.PackagesMissing as error:
        raise EngineUnavailable(str(error)) from error
    archive.extract(deb, f"{package.name} {version}", package.takes, staged / spec.name)
    deb.unlink()
    return f"the operating system's package {package.name}"


def _from_build(spec: Spec, place: Place, wanted: frozenset[str], key: Key, staged: Path, say: Say) -> str:
    assert spec.build is not None
    module = place.bundle / spec.build.module
    if not (module / "go.mod").is_file():
        raise EngineUnavailable("a build needs a checkout of this project, with its folder engines")
    _bring_tools(spec, place, say)
    log = place.cache.log(key)
    build.compile_engine(spec, module, staged / spec.name, wanted, place.environ, log, say)
    log.unlink()
    return f"a build of {spec.build.module}/"


def _bring_tools(spec: Spec, place: Place, say: Say) -> None:
    assert spec.build is not None
    needs = [place.catalogue.needs[name] for name in spec.build.needs]
    lacking = build.missing(needs, place.environ)
    # A broken program would still come first on PATH, before that of a package.
    if not any(each.broken for each in lacking):
        for each in lacking:
            try:
                os_packages.bring(each.need, say, place.packages)
            except os_packages.PackagesMissing as error:
                say(f"{spec.title}: {error}")
        lacking = build.missing(needs, place.environ)
    if lacking:
        raise EngineUnavailable("a build needs " + ", and ".join(each.sentence() for each in lacking))
