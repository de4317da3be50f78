"""Write the variables of each role into its README.md and into the reference: `python ansible/role_readmes.py`.

The variables come from meta/argument_specs.yml and defaults/main.yml of the role, the tags from services.yml. All other
text of a README is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ANSIBLE = Path(__file__).resolve().parent
SECTIONS = ("Purpose", "Variables", "Tags", "Example")

REFERENCE = ANSIBLE.parent / "docs" / "reference" / "ansible-variables.md"

_PAGE = """# Ansible variables

<!-- Built by `make reference` from the roles' meta/argument_specs.yml and defaults/main.yml: change those. -->

The variables of each role, for `/etc/sensetig/config.yml` and for the inventory of a fleet.
`ansible/example.config.yml` has those that most installations set. A name with a dot is a key of the variable before
it.
"""

_BLOCK = "<!-- {name}: written by make reference -->\n"
_END = "<!-- end -->\n"


def roles() -> list[str]:
    """The names of all roles, sorted."""
    return sorted(each.parent.name for each in ANSIBLE.glob("roles/*/meta"))


def variables(role: str) -> str:
    """The table of a role's variables, in Markdown."""
    specs = _read(role, "meta/argument_specs.yml")["argument_specs"]
    defaults = _read(role, "defaults/main.yml")
    options: dict[str, Any] = next(iter(specs.values()))["options"]
    rows = ["| Variable | Type | Default | Description |", "| --- | --- | --- | --- |"]
    rows += [_row(name, option, defaults.get(name)) for name, option in _flat(options)]
    return "\n".join(rows) + "\n"


def tags(role: str) -> str:
    """How to run a role alone, in Markdown."""
    services = yaml.safe_load((ANSIBLE / "services.yml").read_text(encoding="utf-8"))["sensetig_services"]
    if role not in services:
        return "None: upgrade.yml has no tags.\n"
    return f"`{role}`, such as `ansible-playbook site.yml -e @config.yml --tags {role}`.\n"


def readme(role: str) -> str:
    """The README of a role as it should be, with the text by hand that it has.

    Raises:
        ValueError: the README lacks a generated block.
    """
    text = _path(role).read_text(encoding="utf-8")
    for name, content in (("variables", variables(role)), ("tags", tags(role))):
        begin = _BLOCK.format(name=name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(_END)
        if not (found and closed):
            raise ValueError(f"{_path(role)} needs a block from {begin.strip()} to {_END.strip()}")
        text = before + begin + content + _END + after
    return text


def reference() -> str:
    """The reference page with the variables of all roles."""
    return _PAGE + "".join(f"\n## {role}\n\n{variables(role)}" for role in roles())


def _path(role: str) -> Path:
    return ANSIBLE / "roles" / role / "README.md"


def _read(role: str, file: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ANSIBLE / "roles" / role / file).read_text(encoding="utf-8"))
    return read


def _flat(options: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield prefix + name, option
        yield from _flat(option.get("options", {}), f"{prefix}{name}.")


def _row(name: str, option: dict[str, Any], default: object) -> str:
    kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    choices = option.get("choices")
    text = option["description"] + (f" One of {', '.join(f'`{each}`' for each in choices)}." if choices else "")
    cells = (f"`{name}`", kind, _default(option, default), text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(option: dict[str, Any], default: object) -> str:
    if option.get("required"):
        return "required"
    value = option.get("default", default)
    if value is None:
        return "none"
    if isinstance(value, str) and "{{" in value:
        return "computed"
    if isinstance(value, dict) and value:
        return "see defaults/main.yml"
    shown = str(value).lower() if isinstance(value, bool) else value
    if isinstance(value, list):
        shown = f"[{', '.join(map(str, value))}]"
    return f"`{shown}`" if shown != "" else "empty"


def main() -> None:
    """Write all READMEs and the reference page."""
    REFERENCE.write_text(reference(), encoding="utf-8")
    for role in roles():
        _path(role).write_text(readme(role), encoding="utf-8")


if __name__ == "__main__":
    main()
