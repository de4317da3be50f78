"""The playbooks: one manifest of services, plain task names, and READMEs that match the roles."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ANSIBLE = Path(__file__).resolve().parents[2] / "ansible"
PLAYBOOKS = sorted(ANSIBLE.glob("*.yml"))
TASK_FILES = sorted([*ANSIBLE.glob("tasks/*.yml"), *ANSIBLE.glob("roles/*/tasks/*.yml")])
HANDLER_FILES = sorted(ANSIBLE.glob("roles/*/handlers/*.yml"))

#: Keys of an entry of services.yml.
KEYS = {
    "play", "also_tags", "group", "enabled", "preview", "preflight", "upgrade", "archive", "package", "unit", "units",
    "hardening", "certificate", "reads_tls", "collectors", "settings", "files", "disabled_files", "data", "account",
}  # fmt: skip

#: Units that run the playbook as root, and so are not hardened.
NOT_HARDENED = {"sensetig-enrolled.service", "sensetig-renewal.service"}

#: Beginnings of names that are sentences or questions rather than noun phrases or imperatives.
SENTENCES = re.compile(r"(The|It|They|What|Whether|Who|Whom|That|No|Nothing|Every|Each|Where|How|These|This)\b")


def services() -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = yaml.safe_load((ANSIBLE / "services.yml").read_text())["sensetig_services"]
    return read


def tasks_of(nodes: Any) -> Iterator[dict[str, Any]]:
    """All plays and tasks of a file, those in blocks included."""
    for node in nodes:
        if isinstance(node, dict):
            yield node
            for key in ("tasks", "block", "rescue", "always", "pre_tasks", "post_tasks"):
                yield from tasks_of(node.get(key) or [])


def named(paths: list[Path]) -> list[tuple[str, str]]:
    found = []
    for path in paths:
        content = yaml.safe_load(path.read_text())
        if isinstance(content, list):
            found += [(path.relative_to(ANSIBLE).as_posix(), task.get("name", "")) for task in tasks_of(content)]
    return found


def role_readmes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("role_readmes", ANSIBLE / "role_readmes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", services())
def test_service_entry_matches_its_role(name: str) -> None:
    entry, role = services()[name], ANSIBLE / "roles" / name
    assert set(entry) <= KEYS
    assert entry["play"] in ("base", "hub", "device", "enrolment")
    assert entry["group"] in ("all", "hub")
    assert "enabled" in entry
    assert set(entry.get("also_tags", [])) <= set(services())
    assert (role / "tasks" / "main.yml").is_file()
    assert (role / "tasks" / "preflight.yml").is_file() == ("preflight" in entry)


def test_every_role_is_a_service_or_belongs_to_the_upgrade() -> None:
    assert {path.parent.name for path in ANSIBLE.glob("roles/*/tasks")} == {*services(), "upgrade"}


def test_playbooks_name_no_service_role() -> None:
    # site, upgrade and teardown loop over the manifest instead.
    for book in ("site", "upgrade", "teardown"):
        text = (ANSIBLE / f"{book}.yml").read_text()
        included = set(re.findall(r"^\s+(?:- role|name): ([a-z]+)$", text, re.MULTILINE))
        assert included <= {"upgrade"}, book


def units(entry: dict[str, Any]) -> set[str]:
    return {*([entry["unit"]] if "unit" in entry else []), *entry.get("units", [])}


@pytest.mark.parametrize("name", services())
def test_every_service_unit_is_hardened(name: str) -> None:
    entry = services()[name]
    run = {unit for unit in units(entry) if unit.endswith(".service")}
    assert set(entry.get("hardening", {})) == run - NOT_HARDENED


def test_units_that_the_roles_install_are_in_the_manifest() -> None:
    text = "".join(path.read_text() for path in TASK_FILES)
    found = set(re.findall(r"/etc/systemd/system/((?:sensetig|nats)-[a-z]+)\.", text))
    assert found
    assert found <= {unit.partition(".")[0] for entry in services().values() for unit in units(entry)}
    templates = {path.stem for path in ANSIBLE.glob("roles/*/templates/sensetig-*.j2")}
    assert templates <= {unit for entry in services().values() for unit in units(entry)}


def test_task_names_are_imperatives_or_noun_phrases() -> None:
    names = named([*PLAYBOOKS, *TASK_FILES, *HANDLER_FILES])
    assert len(names) > 100
    assert [each for each in names if not each[1] or SENTENCES.match(each[1])] == []


def test_every_notified_handler_exists() -> None:
    handlers = {name for _, name in named(HANDLER_FILES)}
    for path in TASK_FILES:
        for task in tasks_of(yaml.safe_load(path.read_text())):
            notified = task.get("notify", [])
            for each in [notified] if isinstance(notified, str) else notified:
                assert each in handlers or "{{" in each, f"{path}: {each}"
            for each in (task.get("vars") or {}).get("common_restarts", []):
                assert each in handlers, f"{path}: {each}"


def test_the_reference_has_the_variables_of_every_role() -> None:
    page = role_readmes().REFERENCE.read_text(encoding="utf-8")
    assert page == role_readmes().reference(), "run make reference"


@pytest.mark.parametrize("role", role_readmes().roles())
def test_readme_of_a_role_is_up_to_date_and_has_its_sections(role: str) -> None:
    text = (ANSIBLE / "roles" / role / "README.md").read_text()
    assert text == role_readmes().readme(role), "run make reference"
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == role_readmes().SECTIONS


def test_readme_without_a_generated_block_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = role_readmes()
    path = tmp_path / "README.md"
    path.write_text("# camera\n")
    monkeypatch.setattr(module, "_path", lambda _: path)
    with pytest.raises(ValueError, match="needs a block from <!-- variables"):
        module.readme("camera")


@pytest.mark.parametrize(
    ("default", "shown"),
    [
        (True, "`true`"),
        (["a", "b"], "`[a, b]`"),
        ("{{ x }}", "computed"),
        ("", "empty"),
        (None, "none"),
        ({"a": 1}, "see defaults/main.yml"),
    ],
)
def test_default_of_a_variable_is_shown(default: object, shown: str) -> None:
    assert role_readmes()._default({"type": "str"}, default) == shown


def test_every_listener_of_the_broker_binds_the_client_id_to_the_user() -> None:
    """A setting of each listener: without it, a client takes over the session of another."""
    for path in (ANSIBLE / "roles/mosquitto/templates/tls.conf.j2", ANSIBLE.parent / "mosquitto/sensetig.conf"):
        parts = re.split(r"(?m)^#?listener ", path.read_text())[1:]
        assert parts
        for part in parts:
            assert re.search(r"(?m)^#?use_username_as_clientid true$", part), path


def test_the_playbook_runs_every_snippet_that_containers_run() -> None:
    """Alerts need their measurements: a snippet that is not installed leaves its rules without data."""
    compose = (ANSIBLE.parent / "containers/compose.yaml").read_text()
    found = re.search(r"\$\{SENSETIG_COLLECTORS:-([a-z_ ]+)\}", compose)
    assert found is not None
    defaults = yaml.safe_load((ANSIBLE / "roles/telegraf/defaults/main.yml").read_text())["telegraf_collectors"]
    added = re.findall(r"\['(\w+)'\]", (ANSIBLE / "roles/telegraf/tasks/hardware.yml").read_text())
    assert set(found[1].split()) <= {*defaults, *added}
