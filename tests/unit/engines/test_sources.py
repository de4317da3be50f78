"""The sources in their order, on a machine of the test's own: no archive answers, and Go is a script."""

from __future__ import annotations

import io
import socket
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from sensetig.engines import catalogue, os_packages, plugins, sources
from sensetig.engines.cache import Cache
from sensetig.engines.engine import EngineUnavailable
from tests.unit.engines.programs import script

#: Writes a program that says Telegraf's version; it gets the name of its output behind the first -o.
GO = """if [ "$1" = version ]; then echo go version go1.26.8 linux/amd64; exit; fi
printf '#!/bin/sh\\necho Telegraf 1.39.3\\n' > "$3"
chmod +x "$3"
"""


def run(command: object) -> os_packages.Outcome:
    """No package manager answers."""
    del command
    return os_packages.Outcome(1, "")


def machine(folder: Path, *, go: bool = True) -> sources.Place:
    """A machine with another system than Debian, and a checkout."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    known = catalogue.load()
    engines = {
        name: spec._replace(
            package=spec.package
            and spec.package._replace(archive=spec.package.archive._replace(url=url, key=f"{url}/archive.key"))
        )
        for name, spec in known.engines.items()
    }
    (folder / "telegraf").mkdir(parents=True)
    (folder / "telegraf" / "telegraf.conf").write_text("[[outputs.influxdb_v2]]\n")
    (folder / "engines").mkdir()
    (folder / "engines" / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    (folder / "bin").mkdir()
    if go:
        script(folder / "bin" / "go", GO)
    return sources.Place(
        known._replace(engines=engines),
        {"PATH": f"{folder}/bin:/usr/bin:/bin" if go else f"{folder}/bin"},
        Cache(folder / "cache"),
        "linux",
        "amd64",
        folder,
        os_packages.System(False, False, folder, 0.0, run),
    )


def test_where_no_archive_answers_it_is_built_and_cached(tmp_path: Path) -> None:
    place = machine(tmp_path)
    said: list[str] = []
    engine = sources.obtain("telegraf", said.append, place)
    wanted = sources.wanted_plugins(place.catalogue.engines["telegraf"], tmp_path)
    assert engine.source == "a build of engines/"
    assert engine.path.parent.name == f"telegraf-1.39.3-{plugins.fingerprint(wanted)}-linux-amd64"
    assert said == [
        "Telegraf: 127.0.0.1 cannot be reached: Connection refused; going on to the next source",
        "Telegraf 1.39.3: building it (about a minute on two cores)",
    ]
    assert sources.obtain("telegraf", pytest.fail, place) == sources.locate("telegraf", place)


def test_a_telegraf_that_was_built_for_fewer_plugins_is_not_taken(tmp_path: Path) -> None:
    place = machine(tmp_path)
    first = sources.obtain("telegraf", lambda _: None, place)
    (tmp_path / "telegraf" / "mqtt.conf").write_text("[[inputs.mqtt_consumer]]\n")
    assert sources.locate("telegraf", place) is None
    second = sources.obtain("telegraf", lambda _: None, place)
    assert second.path != first.path
    (tmp_path / "telegraf" / "mqtt.conf").unlink()
    found = sources.locate("telegraf", place)
    assert found is not None
    assert found.path == first.path


def test_without_go_the_sentence_names_it_and_what_brings_it(tmp_path: Path) -> None:
    place = machine(tmp_path, go=False)
    sentence = (
        r"^Telegraf 1\.39\.3 is not available \(127\.0\.0\.1 cannot be reached: Connection refused; a build needs "
        r"Go 1\.21 or later, from the package golang-go or https://go\.dev/dl\): without it no collector runs$"
    )
    with pytest.raises(EngineUnavailable, match=sentence):
        sources.obtain("telegraf", lambda _: None, place)
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["telegraf-1.39.3.lock"]


def test_an_unsuitable_installed_engine_is_reported_before_the_next_source_is_tried(tmp_path: Path) -> None:
    place = machine(tmp_path)
    old = script(tmp_path / "bin" / "telegraf", "echo Telegraf 1.2.3")
    said: list[str] = []
    assert sources.obtain("telegraf", said.append, place).source == "a build of engines/"
    assert said[0] == (f"Telegraf: {old} is version 1.2.3, and it takes >=1.39.3,<1.40; going on to the next source")


def test_another_operating_system_has_no_archive_and_is_built(tmp_path: Path) -> None:
    place = machine(tmp_path)._replace(system="darwin", architecture="arm64")
    said: list[str] = []
    engine = sources.obtain("telegraf", said.append, place)
    assert engine.path.parent.name.endswith("-darwin-arm64")
    assert said[0] == "Telegraf: the vendor's archive is for Linux, and this is darwin; going on to the next source"


def test_behind_a_tool_that_does_not_run_nothing_is_installed(tmp_path: Path) -> None:
    asked: list[object] = []

    def run(command: object) -> os_packages.Outcome:
        asked.append(command)
        return os_packages.Outcome(0, "")

    # Root on Debian, with Go and a C compiler missing as well: they alone would not make the build possible.
    place = machine(tmp_path, go=False)._replace(packages=os_packages.System(True, True, tmp_path, 0.0, run))
    for name in ("rustc", "cargo"):
        script(tmp_path / "bin" / name, "echo 'error: no default toolchain is set.' >&2; exit 1")
    said: list[str] = []
    with pytest.raises(EngineUnavailable) as caught:
        sources.obtain("influxd", said.append, place)
    assert asked == []
    assert not any("installing" in each for each in said)
    for name in ("rustc", "cargo"):
        assert f"{tmp_path}/bin/{name} is there, but does not run: no default toolchain is set; make it run, or" in str(
            caught.value
        )


def test_an_unwritable_cache_is_reported_with_other_ways_to_get_the_engine(tmp_path: Path) -> None:
    place = machine(tmp_path)
    (tmp_path / "cache").write_text("a file, where a folder should be")
    with pytest.raises(EngineUnavailable) as caught:
        sources.obtain("grafana", lambda _: None, place)
    said = str(caught.value)
    assert said.startswith(f"Grafana 12.4.1 could not be put into the cache {tmp_path}/cache: ")
    assert "(SENSETIG_CACHE names another folder): everything but the dashboards works without it" in said
    assert "https://grafana.com/grafana/download" in said


def package(folder: Path, program: str) -> None:
    """A Debian package in a folder, with this program as its only file."""
    members = {"debian-binary": b"2.0\n"}
    for name, files in (("control.tar.gz", {}), ("data.tar.gz", {"./usr/sbin/nats-server": program.encode()})):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, content in files.items():
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content))
        members[name] = buffer.getvalue()
    with (folder / "nats-server.deb").open("wb") as deb:
        deb.write(b"!<arch>\n")
        for name, data in members.items():
            deb.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
            deb.write(data + b"\n" * (len(data) % 2))


def debian(folder: Path, version: str, commands: list[Sequence[str]], status: int = 0) -> sources.Place:
    """A Debian without Go, whose apt has this version of NATS."""

    def run(command: Sequence[str]) -> os_packages.Outcome:
        commands.append(command)
        if command[0] == "apt-cache":
            return os_packages.Outcome(0, f"  Candidate: {version}\n")
        if "download" in command and status == 0:
            package(Path(command[2]), f"#!/bin/sh\necho nats-server: v{version.partition('-')[0]}\n")
        return os_packages.Outcome(status, "E: no such host\n")

    return machine(folder, go=False)._replace(packages=os_packages.System(True, False, folder, 0.0, run))


def test_of_the_systems_package_only_the_program_is_taken_and_nothing_is_installed(tmp_path: Path) -> None:
    commands: list[Sequence[str]] = []
    place = debian(tmp_path, "2.10.27-1", commands)
    engine = sources.obtain("nats-server", lambda _: None, place)
    assert (engine.version, engine.source) == ("2.10.27", "the operating system's package nats-server")
    assert [entry.name for entry in engine.path.parent.iterdir() if entry.suffix == ".deb"] == []
    assert not any("install" in command for command in commands)
    assert sources.locate("nats-server", place) == engine._replace(source=f"the cache ({engine.source})")


def test_an_old_package_of_the_system_is_reported_and_not_fetched(tmp_path: Path) -> None:
    commands: list[Sequence[str]] = []
    with pytest.raises(EngineUnavailable, match=r"package nats-server is 2\.9\.10-1, and it takes >=2\.10,<3"):
        sources.obtain("nats-server", lambda _: None, debian(tmp_path, "2.9.10-1", commands))
    assert not any("download" in command for command in commands)


def test_a_package_that_apt_cannot_fetch_is_reported_and_the_build_is_tried(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(EngineUnavailable, match="a build needs a checkout"):
        sources.obtain("nats-server", said.append, debian(tmp_path, "2.10.27-1", [], status=100))
    assert "NATS: apt-get download failed: E: no such host; going on to the next source" in said


def test_a_separate_module_is_built_in_its_folder(tmp_path: Path) -> None:
    place = machine(tmp_path)
    (tmp_path / "engines" / "nats").mkdir()
    (tmp_path / "engines" / "nats" / "go.mod").write_text("module y\n\ngo 1.26.0\n")
    script(tmp_path / "bin" / "go", GO.replace("Telegraf 1.39.3", "nats-server: v2.15.2"))
    engine = sources.obtain("nats-server", lambda _: None, place)
    assert (engine.version, engine.source) == ("2.15.2", "a build of engines/nats/")
