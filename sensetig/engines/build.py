"""The last source: Telegraf, InfluxDB and NATS built from the Go modules in ``engines/``, which pin their versions."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from sensetig.engines.catalogue import Build, Need, Spec
from sensetig.engines.engine import EngineUnavailable
from sensetig.engines.platforms import version_in

#: Seconds between messages that a build is still running.
REPORT_SECONDS = 30.0

#: Maximum time for compilers to end after a signal, in seconds.
END_SECONDS = 10.0

#: Settings of the user's Go that would change the result.
_STRIPPED = (
    "GOFLAGS",
    "GOWORK",
    "GOOS",
    "GOARCH",
    "GO111MODULE",
    "CGO_ENABLED",
    "CGO_CFLAGS",
    "CGO_LDFLAGS",
    "PKG_CONFIG",
)


class Missing(NamedTuple):
    """A program that a build lacks.

    Args:
        need: the requirement.
        found: the installed version, which is too old; None if the program is missing or does not run.
        broken: the program that fails, and its output, or None.
    """

    need: Need
    found: str | None
    broken: str | None = None

    def sentence(self) -> str:
        """The missing tool, and its package."""
        title = self.need.title
        wanted = f"{title} {self.need.minimum} or later" if self.need.minimum else title
        if self.broken:
            return f"{wanted} ({self.broken}; make it run, or take its folder off PATH)"
        has = f" (found {self.found})" if self.found else ""
        packages = " or ".join(self.need.packages)
        return f"{wanted}{has}, from the package {packages} or {self.need.otherwise}"


def missing(needs: Collection[Need], environ: Mapping[str, str]) -> list[Missing]:
    """The required programs that are not on PATH, or are too old.

    Args:
        needs: the programs.
        environ: provides PATH.
    """
    lacking = []
    for need in needs:
        program = shutil.which(need.program, path=environ.get("PATH"))
        if program is None:
            lacking.append(Missing(need, None))
        elif need.minimum is not None:
            try:
                version = _version(program, environ)
            except _DoesNotRun as error:
                lacking.append(Missing(need, None, str(error)))
                continue
            if version is None or Version(version) < Version(need.minimum):
                lacking.append(Missing(need, version or "one that does not say its version"))
    return lacking


class _DoesNotRun(EngineUnavailable):
    """An existing program does not run; the message contains its output."""

    def __init__(self, program: str, said: str) -> None:
        super().__init__(f"{program} is there, but does not run: {said}")


def _version(program: str, environ: Mapping[str, str]) -> str | None:
    """The version that a program prints, or None if it prints none. Raises _DoesNotRun."""
    # Go prints its version for "version", not "--version"; it must neither switch toolchains for this, nor fail
    # because of settings that do not affect the build.
    argument = "version" if Path(program).name == "go" else "--version"
    try:
        run = subprocess.run(
            [program, argument],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**environ, "GOTOOLCHAIN": "local", "GOENV": "off", "GOFLAGS": ""},
        )
    except OSError as error:
        raise _DoesNotRun(program, error.strerror or str(error)) from None
    if run.returncode != 0:
        # The first line of a rustup without a toolchain is the error.
        said = next((line.strip() for line in run.stderr.splitlines() if line.strip()), None)
        raise _DoesNotRun(
            program, said.removeprefix("error: ").rstrip(".") if said else f"it ends with status {run.returncode}"
        )
    return version_in(run.stdout)


def environment(build: Build, environ: Mapping[str, str], *, go: str, wanted: str, rust: str | None) -> dict[str, str]:
    """The environment of ``go build``: the user's, without variables that would change the result.

    Args:
        build: the engine's build.
        environ: the user's environment.
        go: the installed version of Go.
        wanted: the version that ``go.mod`` requires.
        rust: the name of rustup's installed toolchain, or None if Rust does not come from rustup.
    """
    variables = {name: value for name, value in environ.items() if name not in _STRIPPED}
    # Set explicitly: if a variable is unset, Go reads its settings file.
    variables["GOFLAGS"] = "-mod=readonly -buildvcs=false"
    variables["GOWORK"] = "off"
    variables["CGO_ENABLED"] = "1" if build.cgo else "0"
    if Version(go) < Version(wanted):
        variables.setdefault("GOTOOLCHAIN", "auto")
    if rust is not None:
        # libflux pins an exact Rust version; newer ones build it as well, and this avoids a download.
        variables["RUSTUP_TOOLCHAIN"] = rust
    return variables


def arguments(build: Build, plugins: Collection[str]) -> list[str]:
    """The arguments of ``go build``, without the name of its output."""
    tags = ",".join([*build.tags, *(sorted(plugins) if build.plugins else ())])
    values = " ".join(f"-X {name}={value}" for name, value in build.variables.items())
    return ["-trimpath", "-ldflags", f"-s -w {values}", "-tags", tags, build.package]


def compile_engine(
    spec: Spec,
    module: Path,
    target: Path,
    plugins: Collection[str],
    environ: Mapping[str, str],
    log: Path,
    say: Callable[[str], None],
) -> None:
    """Build an engine.

    Args:
        spec: an engine with a build.
        module: the folder of ``go.mod``.
        target: the program to write.
        plugins: Telegraf's plugins.
        environ: the user's environment.
        log: receives the compilers' output.
        say: receives a sentence from time to time.

    Raises:
        EngineUnavailable: the build failed; the sentence quotes the end of the log.
    """
    build = spec.build
    assert build is not None
    variables = environment(
        build,
        environ,
        go=_version("go", environ) or "0",
        wanted=wanted_go((module / "go.mod").read_text(encoding="utf-8")),
        rust=_rust_toolchain(environ) if "rustc" in build.needs else None,
    )
    log.write_text("", encoding="utf-8")
    say(f"{spec.title} {spec.version}: building it ({build.duration})")
    if build.pkg_config is not None:
        tools = target.parent / "tools"
        tools.mkdir()
        real = _pkg_config()
        if real is None and shutil.which("pkg-config", path=environ.get("PATH")) is None:
            raise EngineUnavailable(
                "a build needs pkg-config: install sensetig with its extra engines, or the package pkg-config"
            )
        if real is not None:
            # The helper writes a .pc file for pkg-config; pkg-config from the wheel saves the operator a package.
            (tools / "pkg-config").symlink_to(real)
            variables["PATH"] = f"{tools}{os.pathsep}{variables.get('PATH', '')}"
        helper = tools / "build-pkg-config"
        _go(spec, ["-trimpath", "-o", str(helper), build.pkg_config], module, variables, log, say)
        variables["PKG_CONFIG"] = str(helper)
    _go(spec, ["-o", str(target), *arguments(build, plugins)], module, variables, log, say)
    if build.pkg_config is not None:
        shutil.rmtree(tools)


def _pkg_config() -> Path | None:
    """The pkg-config from the wheel, or None if the extra is not installed: the system's is used then."""
    try:
        import pkgconf
    except ImportError:
        return None
    return Path(pkgconf.get_executable())


def wanted_go(module: str) -> str:
    """The version of Go that a ``go.mod`` requires."""
    match = re.search(r"^go\s+(\S+)", module, re.MULTILINE)
    if match is None:
        raise EngineUnavailable("the engine's go.mod does not say which version of Go it needs")
    return match[1]


def _rust_toolchain(environ: Mapping[str, str]) -> str | None:
    rustup = shutil.which("rustup", path=environ.get("PATH"))
    if rustup is None:
        return None
    run = subprocess.run(
        [rustup, "show", "active-toolchain"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=dict(environ),
    )
    return run.stdout.split()[0] if run.returncode == 0 and run.stdout.strip() else None


def _go(
    spec: Spec,
    words: Collection[str],
    module: Path,
    variables: Mapping[str, str],
    log: Path,
    say: Callable[[str], None],
) -> None:
    start = time.monotonic()
    process = None
    with log.open("ab") as output, _raised():
        try:
            with _held_back():  # otherwise a signal would leave an untracked process
                process = subprocess.Popen(
                    ["go", "build", *words],
                    cwd=module,
                    env=dict(variables),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0,  # so that its compilers end with it
                )
            while True:
                try:
                    status = process.wait(REPORT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    minutes, seconds = divmod(int(time.monotonic() - start), 60)
                    say(f"{spec.title} {spec.version}: still building, {minutes} min {seconds:02d} s")
        finally:
            if process is not None and process.poll() is None:
                _end(process)
    if status != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
        raise EngineUnavailable(f"{spec.title} could not be built: {last.strip()} (all that was printed is in {log})")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program with all of its process group."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _raised() -> Iterator[None]:
    """Convert signals that would end this process at once into exceptions, so that the build ends with it.

    Existing handlers of such a signal are kept.
    """
    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _held_back() -> Iterator[None]:
    """Defer signals with a handler until the end of this block."""
    came: list[int] = []
    heeded = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        heeded = {each: handler for each, handler in handlers.items() if callable(handler)}
    for each in heeded:
        signal.signal(each, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for each, handler in heeded.items():
            signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)
