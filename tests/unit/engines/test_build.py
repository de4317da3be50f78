"""A build: its tools are checked, the user's settings do not change it, and its failure is reported."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sensetig.engines import build, catalogue
from sensetig.engines.catalogue import Build, Need
from sensetig.engines.engine import EngineUnavailable
from tests.unit.engines.programs import prints, script

CATALOGUE = catalogue.load()
TELEGRAF, INFLUXD = CATALOGUE.engines["telegraf"], CATALOGUE.engines["influxd"]
GO = CATALOGUE.needs["go"]


def of(spec: catalogue.Spec) -> Build:
    assert spec.build is not None
    return spec.build


def test_a_tool_that_is_missing_is_named_with_the_package_that_brings_it(tmp_path: Path) -> None:
    lacking = build.missing([GO], {"PATH": str(tmp_path)})
    assert [each.sentence() for each in lacking] == [
        "Go 1.21 or later, from the package golang-go or https://go.dev/dl"
    ]


def test_a_tool_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    prints(tmp_path / "go", "go version go1.19.8 linux/amd64")
    lacking = build.missing([GO], {"PATH": f"{tmp_path}:/bin"})
    assert [each.sentence() for each in lacking] == [
        "Go 1.21 or later (found 1.19.8), from the package golang-go or https://go.dev/dl"
    ]


def test_a_tool_that_cannot_say_its_version_is_missing(tmp_path: Path) -> None:
    prints(tmp_path / "rustc", "good morning")
    lacking = build.missing([CATALOGUE.needs["rustc"]], {"PATH": f"{tmp_path}:/bin"})
    assert [each.found for each in lacking] == ["one that does not say its version"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("printf 'error: no toolchain is set.\\nhelp: set one\\n' >&2; exit 1", "no toolchain is set"),
        ("exit 3", "it ends with status 3"),
    ],
)
def test_a_failing_tool_is_reported_with_its_output_and_a_remedy(tmp_path: Path, text: str, said: str) -> None:
    shim = script(tmp_path / "rustc", text)
    lacking = build.missing([CATALOGUE.needs["rustc"]], {"PATH": f"{tmp_path}:/bin"})
    assert [each.sentence() for each in lacking] == [
        f"Rust 1.83 or later ({shim} is there, but does not run: {said}; make it run, or take its folder off PATH)"
    ]


def test_a_tool_for_another_machine_does_not_run(tmp_path: Path) -> None:
    shim = tmp_path / "cargo"
    shim.write_bytes(b"\x7fELF of another machine")
    shim.chmod(0o755)
    lacking = build.missing([CATALOGUE.needs["cargo"]], {"PATH": str(tmp_path)})
    assert [each.broken for each in lacking] == [f"{shim} is there, but does not run: Exec format error"]


def test_tools_that_are_new_enough_are_not_missing(tmp_path: Path) -> None:
    prints(tmp_path / "go", "go version go1.21.0 linux/amd64")
    prints(tmp_path / "rustc", "rustc 1.83.0 (90b35a623 2024-11-26)")
    prints(tmp_path / "cargo", "cargo 1.83.0 (5ffbef321 2024-10-29)")
    prints(tmp_path / "cc", "whatever")
    needs: list[Need] = [CATALOGUE.needs[name] for name in of(INFLUXD).needs]
    assert build.missing(needs, {"PATH": f"{tmp_path}:/bin"}) == []


def test_influxdb_needs_go_rust_and_a_c_compiler_and_nothing_else() -> None:
    assert set(of(INFLUXD).needs) == {"go", "rustc", "cargo", "cc"}
    assert set(of(TELEGRAF).needs) == {"go"}


def test_the_persons_own_go_settings_do_not_change_the_build() -> None:
    own = {"GOFLAGS": "-race", "GOOS": "plan9", "GOARCH": "mips", "GOWORK": "/w", "CGO_CFLAGS": "-O0", "HOME": "/h"}
    made = build.environment(of(TELEGRAF), own, go="1.26.8", wanted="1.26.0", rust=None)
    assert made == {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", "CGO_ENABLED": "0", "HOME": "/h"}


def test_c_and_the_installed_rust_are_used_where_they_are_needed() -> None:
    made = build.environment(of(INFLUXD), {}, go="1.26.8", wanted="1.26.0", rust="stable-x86_64-unknown-linux-gnu")
    assert made["CGO_ENABLED"] == "1"
    assert made["RUSTUP_TOOLCHAIN"] == "stable-x86_64-unknown-linux-gnu"


def test_an_older_go_is_let_fetch_the_wanted_one_unless_the_person_forbids_it() -> None:
    older = build.environment(of(TELEGRAF), {}, go="1.24.4", wanted="1.26.0", rust=None)
    assert older["GOTOOLCHAIN"] == "auto"
    forbidden = build.environment(of(TELEGRAF), {"GOTOOLCHAIN": "local"}, go="1.24.4", wanted="1.26.0", rust=None)
    assert forbidden["GOTOOLCHAIN"] == "local"


def test_telegraf_is_built_with_the_given_plugins_and_says_its_version() -> None:
    words = build.arguments(of(TELEGRAF), ["inputs.mem", "inputs.cpu"])
    assert words[words.index("-tags") + 1] == "custom,inputs.cpu,inputs.mem"
    assert "-X github.com/influxdata/telegraf/internal.Version=1.39.3" in words[words.index("-ldflags") + 1]
    assert words[-1] == "github.com/influxdata/telegraf/cmd/telegraf"


def test_influxdb_is_built_without_plugins() -> None:
    words = build.arguments(of(INFLUXD), ["inputs.cpu"])
    assert words[words.index("-tags") + 1] == "sqlite_foreign_keys,sqlite_json"


def test_the_wanted_go_is_read_from_the_module() -> None:
    assert build.wanted_go("module x\n\ngo 1.26.0\n") == "1.26.0"
    with pytest.raises(EngineUnavailable, match=r"go\.mod does not say"):
        build.wanted_go("module x\n")


def module(folder: Path) -> Path:
    folder.mkdir()
    (folder / "go.mod").write_text("module x\n\ngo 1.21\n")
    return folder


def test_a_build_that_fails_says_the_last_line_and_where_all_of_it_is(tmp_path: Path) -> None:
    script(
        tmp_path / "bin" / "go",
        '[ "$1" = version ] && echo go1.26.8 || { echo first; echo "no such package"; exit 1; }',
    )
    log = tmp_path / "log"
    with pytest.raises(EngineUnavailable) as caught:
        build.compile_engine(
            TELEGRAF, module(tmp_path / "m"), tmp_path / "out", [], {"PATH": f"{tmp_path}/bin:/bin"}, log, print
        )
    assert str(caught.value) == f"Telegraf could not be built: no such package (all that was printed is in {log})"
    assert log.read_text() == "first\nno such package\n"


def test_a_build_says_that_it_begins_and_how_long_it_takes(tmp_path: Path) -> None:
    script(tmp_path / "bin" / "go", 'echo go1.26.8; [ "$1" = version ] || touch "$3"')
    said: list[str] = []
    folder, out = module(tmp_path / "m"), tmp_path / "out"
    build.compile_engine(
        TELEGRAF, folder, out, [], {"PATH": f"{tmp_path}/bin:/bin:/usr/bin"}, tmp_path / "log", said.append
    )
    assert out.exists()
    assert said == ["Telegraf 1.39.3: building it (about a minute on two cores)"]


def test_a_real_module_is_compiled_by_the_real_go(tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on this machine: builds cannot be tried")
    folder = module(tmp_path / "m")
    (folder / "main.go").write_text('package main\n\nvar version string\n\nfunc main() { print("it is ", version) }\n')
    small = of(TELEGRAF)._replace(package=".", variables={"main.version": "7.8.9"}, plugins=False)
    environ = {"PATH": f"{Path(go).parent}:/usr/bin:/bin", "HOME": str(Path.home()), "GOFLAGS": "-nonsense"}
    build.compile_engine(
        TELEGRAF._replace(build=small), folder, tmp_path / "out", [], environ, tmp_path / "log", lambda _: None
    )
    assert b"7.8.9" in (tmp_path / "out").read_bytes()


#: Builds Telegraf with a Go that has a compiler at work, which writes down its process and would go on for ten minutes.
_BUILD = """
import signal, sys
from pathlib import Path
from sensetig.engines import build, catalogue
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which whoever has started the tests may have switched off
folder = Path(sys.argv[1])
build.compile_engine(
    catalogue.load().engines["telegraf"], folder / "m", folder / "out", [],
    {"PATH": f"{folder}/bin:/usr/bin:/bin"}, folder / "log", print,
)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_ends_it_ends_the_build_with_all_its_compilers(tmp_path: Path, number: signal.Signals) -> None:
    module(tmp_path / "m")
    told = tmp_path / "told"
    os.mkfifo(told)
    script(
        tmp_path / "bin" / "go",
        f'[ "$1" = version ] && echo go1.26.8 && exit; sleep 600 & echo $! > {told}; wait',
    )
    with subprocess.Popen([sys.executable, "-c", _BUILD, str(tmp_path)], stderr=subprocess.PIPE) as process:
        compiler = psutil.Process(int(told.read_text()))  # which waits until the compiler is at work
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    # It receives the signal at the same time as its parent, and may take a little longer.
    assert not psutil.wait_procs([compiler], timeout=120)[1], "the compiler outlived the build"
    if number is not signal.SIGINT:
        assert (process.returncode, err) == (128 + number, b"")


def test_signals_are_as_before_once_the_build_is_over(tmp_path: Path) -> None:
    script(tmp_path / "bin" / "go", 'echo go1.26.8; [ "$1" = version ] || touch "$3"')
    environ = {"PATH": f"{tmp_path}/bin:/bin:/usr/bin"}
    before = signal.getsignal(signal.SIGTERM)
    build.compile_engine(
        TELEGRAF, module(tmp_path / "m"), tmp_path / "out", [], environ, tmp_path / "log", lambda _: None
    )
    assert signal.getsignal(signal.SIGTERM) is before
