"""The operator's commented example: its variables exist, and have the types that the roles require."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ANSIBLE = Path(__file__).resolve().parents[2] / "ansible"
EXAMPLE = ANSIBLE / "example.config.yml"
ROLES = sorted(each.name for each in (ANSIBLE / "roles").iterdir() if (each / "defaults" / "main.yml").is_file())

_OPTION = re.compile(r"# ([a-z]+_[a-z_]+):")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "list": list,
    "dict": dict,
    "float": (int, float),
    "path": str,
}


def defaults(role: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ANSIBLE / "roles" / role / "defaults" / "main.yml").read_text())
    return read


def declared() -> dict[str, dict[str, Any]]:
    """The options of all roles, as their argument specs declare them."""
    options: dict[str, dict[str, Any]] = {}
    for specs in (ANSIBLE / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(specs.read_text())["argument_specs"].values():
            options |= entry.get("options") or {}
    return options


def uncommented() -> dict[str, Any]:
    """All examples, as if the operator had taken each of them."""
    text, within = "", False
    for line in EXAMPLE.read_text().splitlines():
        within = bool(_OPTION.match(line)) or (within and line.startswith("#   "))
        text += (line.removeprefix("# ") if within else line) + "\n"
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def test_the_example_has_options_of_many_roles() -> None:
    assert len(uncommented()) > 15


@pytest.mark.parametrize("name", list(uncommented()))
def test_every_option_of_the_example_exists_and_has_the_declared_type(name: str) -> None:
    option = declared().get(name)
    assert option is not None, f"no role declares {name}"
    value = uncommented()[name]
    assert isinstance(value, _TYPES[option.get("type", "str")]), f"{name}: {value!r}"
    if "elements" in option:
        assert isinstance(value, list)
        assert all(isinstance(each, _TYPES[option["elements"]]) for each in value), f"{name}: {value!r}"


@pytest.mark.parametrize("role", ROLES)
def test_example_names_readme_of_every_role(role: str) -> None:
    assert f"roles/{role}/README.md" in EXAMPLE.read_text()


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_declared_and_every_declared_default_is_the_real_one(role: str) -> None:
    options = declared()
    for name, value in defaults(role).items():
        assert name in options, f"{name} is not in the argument specs of {role}"
        said = options[name].get("default", value)
        assert said == value or "{{" in str(value), f"{name}: {said!r} is declared, and {value!r} is so"


def test_the_versions_of_the_example_are_the_defaults() -> None:
    everything = {name: value for role in ROLES for name, value in defaults(role).items()}
    named = {name: value for name, value in uncommented().items() if name.endswith("_version")}
    assert named == {name: everything[name] for name in named}
