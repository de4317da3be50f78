"""Installed engines: found on PATH or in a home folder, and used only if they are suitable."""

from __future__ import annotations

from pathlib import Path

from sensetig.engines import catalogue, installed
from sensetig.engines.engine import Engine
from tests.unit.engines.programs import prints, script

SPECS = catalogue.load().engines
TELEGRAF, GRAFANA = SPECS["telegraf"], SPECS["grafana"]


def grafana_home(folder: Path, version: str) -> Path:
    prints(folder / "bin" / "grafana", f"grafana version {version}")
    (folder / "conf").mkdir()
    (folder / "conf" / "defaults.ini").write_text("")
    return folder


def path(*folders: Path) -> dict[str, str]:
    return {"PATH": ":".join(str(folder) for folder in (*folders, "/usr/bin", "/bin"))}


def test_a_program_on_path_whose_version_will_do_is_taken(tmp_path: Path) -> None:
    program = prints(tmp_path / "telegraf", "Telegraf 1.39.4 (git: HEAD@1)")
    found = installed.find(TELEGRAF, path(tmp_path))
    assert found.engine == Engine("telegraf", "1.39.4", program, "PATH")


def test_an_old_program_is_not_used_and_the_reason_is_printed(tmp_path: Path) -> None:
    program = prints(tmp_path / "telegraf", "Telegraf 1.30.0")
    found = installed.find(TELEGRAF, path(tmp_path))
    assert found.engine is None
    assert found.reasons == (f"{program} is version 1.30.0, and it takes >=1.39.3,<1.40",)


def test_a_failing_program_is_not_used_and_the_reason_is_printed(tmp_path: Path) -> None:
    program = script(tmp_path / "telegraf", "exit 127")
    found = installed.find(TELEGRAF, path(tmp_path))
    assert found == installed.Found(None, (f"{program} does not say its version",))


def test_a_telegraf_that_lacks_a_plugin_is_left_alone_and_the_plugin_is_named(tmp_path: Path) -> None:
    program = script(
        tmp_path / "telegraf", '[ "$1" = plugins ] && printf "inputs.cpu\\ninputs.mem\\n" || echo Telegraf 1.39.3'
    )
    assert installed.find(TELEGRAF, path(tmp_path), {"inputs.cpu"}).engine is not None
    found = installed.find(TELEGRAF, path(tmp_path), {"inputs.cpu", "inputs.execd"})
    assert found == installed.Found(None, (f"{program} was built without inputs.execd",))


def test_nothing_on_path_is_nothing_found(tmp_path: Path) -> None:
    assert installed.find(TELEGRAF, {"PATH": str(tmp_path)}) == installed.Found(None)


def test_grafana_is_found_in_the_folder_that_the_variable_names(tmp_path: Path) -> None:
    home = grafana_home(tmp_path / "grafana", "12.2.1")
    found = installed.find(GRAFANA, {"GRAFANA_HOME": str(home), "PATH": "/usr/bin:/bin"})
    assert found.engine == Engine("grafana", "12.2.1", home, "GRAFANA_HOME")


def test_a_variable_that_does_not_name_a_grafana_is_reported(tmp_path: Path) -> None:
    found = installed.find(GRAFANA, {"GRAFANA_HOME": str(tmp_path), "PATH": ""})
    assert found == installed.Found(None, (f"GRAFANA_HOME is {tmp_path}, which has no bin/grafana",))


def test_the_folder_of_a_grafana_on_path_is_found_through_a_link(tmp_path: Path) -> None:
    home = grafana_home(tmp_path / "opt" / "grafana", "13.0.0")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "grafana").symlink_to(home / "bin" / "grafana")
    found = installed.find(GRAFANA, path(tmp_path / "bin"))
    assert found.engine == Engine("grafana", "13.0.0", home, "PATH")


def test_the_folder_of_a_packaged_grafana_is_in_share(tmp_path: Path) -> None:
    home = grafana_home(tmp_path / "usr" / "share" / "grafana", "11.6.0")
    prints(tmp_path / "usr" / "sbin" / "grafana-server", "Version 11.6.0")
    found = installed.find(GRAFANA, path(tmp_path / "usr" / "sbin"))
    assert found.engine == Engine("grafana", "11.6.0", home, "PATH")


def test_a_grafana_without_its_folder_is_reported(tmp_path: Path) -> None:
    program = prints(tmp_path / "bin" / "grafana", "grafana version 12.0.0")
    found = installed.find(GRAFANA, path(tmp_path / "bin"))
    assert found.engine is None
    assert found.reasons == (f"the folder that {program} belongs to was not found; name it in GRAFANA_HOME",)
