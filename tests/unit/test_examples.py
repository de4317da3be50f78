"""Every example of a setting, a query and a payload in the documentation fits the declarations."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from collectors.camera.settings import COMMAND_ALLOW as CAMERA_ALLOW
from collectors.core.cli import SPOOL
from collectors.core.registry import catalogue
from collectors.core.settings import resolve, variable
from collectors.messaging.commands import Command, CommandValidator
from collectors.messaging.parsers import read_message
from collectors.messaging.parsers.results import Rejection
from collectors.mqtt.settings import COMMAND_ALLOW as AGENT_ALLOW
from collectors.sensehat.led.rendering import arguments_of_text
from collectors.telemetry import calibration, limits
from sensetig.__main__ import main
from sensetig.declarations import collector_module, declared
from sensetig.simulator import profile
from tests.blocks import Block, blocks, pages
from tests.golden import ROOT

_EXAMPLES = {block.name: block for block in blocks()}

#: The collector that the tutorial builds, which exists only in its copy of the project.
_TUTORIAL = "docs/tutorials/add-your-own-data.md"


def _short(value: str) -> str:
    """The name of a case: its place alone."""
    return value if value.startswith(("docs/", "README")) else ""


def of(*languages: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each block of these languages."""
    found = [block for block in _EXAMPLES.values() if block.language in languages]
    return pytest.mark.parametrize("block", found, ids=lambda block: block.name)


# --- settings ---------------------------------------------------------------------------------------


def check_settings(text: str, page: str) -> None:
    """Read a settings file as each collector reads it."""
    names = catalogue()
    for section in tomllib.loads(text):
        settings = collector_module(section).SETTINGS
        resolve(section, settings, file=page, text=text, sections=list(names), environ={}, options={})


def check_toml(block: Block) -> None:
    """Check an example by the reader of its kind of file."""
    tables = tomllib.loads(block.content)
    sections = set(tables)
    if sections <= set(catalogue()):
        check_settings(block.content, block.page)
    elif isinstance(tables.get("environment"), list):
        assert sections == {"environment"}  # the variables of a Telegraf snippet, and no measurement
    elif sections <= set(declared()):
        limits.read(block.content, block.page)
        for measurement, fields in tables.items():
            assert set(fields) <= names_of(measurement)
    elif isinstance(tables.get("calibration"), list):
        calibration.read(block.content, block.page)
    elif "calibration" in tables:
        profile.read(block.content, block.page)
    else:
        # Telegraf's own, which its check reads in other tests, and the case of the tutorial.
        assert sections <= {"inputs", "secretstores"} or block.page == _TUTORIAL, sections


@of("toml")
def test_an_example_in_toml_is_valid(block: Block) -> None:
    check_toml(block)


def variables() -> set[str]:
    """Every variable of the playbook."""
    found = set()
    for specs in (ROOT / "ansible" / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"].values():
            found |= set(entry["options"])
    return found


class _Loader(yaml.SafeLoader):
    """Reads ESPHome's and Ansible's own tags as texts."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, node: node.value)


def check_yaml(block: Block) -> None:
    """Check an example of Ansible's variables, or of an inventory."""
    document = yaml.load(block.content, _Loader)  # noqa: S506 – derived from SafeLoader
    if "platform" in block.content:  # ESPHome's
        return
    for group in document.values() if document.keys() <= {"hub", "edge", "standalone"} else [{"hosts": {"": document}}]:
        for variables_of_host in group["hosts"].values():
            nested = variables_of_host or {}
            known = variables()
            if not nested.keys() & known:  # an entry of the inventory: the host, and then its variables
                (nested,) = [each for each in nested.values() if each] or [{}]
            assert nested.keys() <= known
            for collector, settings in nested.get("collectors_settings", {}).items():
                if block.page != _TUTORIAL:
                    assert set(settings) <= {each.name for each in collector_module(collector).SETTINGS}


@of("yaml")
def test_an_example_in_yaml_has_variables_of_the_playbook(block: Block) -> None:
    check_yaml(block)


# --- queries ----------------------------------------------------------------------------------------

#: Fields of the hourly summary, besides those of their names.
_SUMMARY = re.compile(r"__(?:min|max|count)$")


def names_of(measurement: str) -> set[str]:
    """The fields and tags of a measurement, with those that Telegraf adds."""
    whole = declared()[measurement].measurement
    return {field.name for field in whole.fields} | {tag.name for tag in whole.tags} | {"host", "site"}


def unknown(query: str) -> set[str]:
    """The names in a query that nothing emits."""
    if "from(bucket" in query:
        wrong: set[str] = set()
        for part in query.split("from(bucket")[1:]:
            measurements = re.findall(r'r\._measurement == "(\w+)"', part)
            fields = set(re.findall(r'r\._field == "(\w+)"', part)) | set(re.findall(r"\br\.([a-z]\w*)", part))
            fields |= {name for group in re.findall(r"max\(column: \"(\w+)\"", part) for name in [group]}
            wrong |= fields - set().union(*(names_of(each) for each in measurements))
        return wrong
    measurements = re.findall(r'FROM (?:"?\w+"?\.+)*"?(\w+)"?', query)
    aliases = set(re.findall(r'AS "(\w+)"', query))
    buckets = {"raw", "hourly", "sensetig", "autogen"}
    quoted = {_SUMMARY.sub("", name) for name in re.findall(r'"(\w+)"', query)}
    known = set().union(*(names_of(each) for each in measurements)) | set(measurements)
    return quoted - known - aliases - buckets


def queries() -> Iterator[tuple[str, str]]:
    """Each query of the pages, in a block or in a sentence, with its place."""
    for block in _EXAMPLES.values():
        if re.search(r"\bSELECT\b|from\(bucket", block.content):
            parts = [block.content] if "(\n" in block.content or "from(" in block.content else re.split(
                r"(?=\bSELECT\b)", block.content
            )  # fmt: skip
            yield from ((block.name, part) for part in parts if "FROM" in part or "from(" in part)
    for path in pages():
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for query in re.findall(r"`(SELECT [^`]*|from\(bucket[^`]*)`", text):
            yield path.relative_to(ROOT).as_posix(), query


@pytest.mark.parametrize(("place", "query"), list(queries()), ids=_short)
def test_a_query_reads_only_emitted_fields(place: str, query: str) -> None:
    assert unknown(query) == set(), place


def test_a_field_that_nothing_emits_is_found() -> None:
    assert unknown('SELECT mean("temperature_celsius") FROM "raw"."environment"') == {"temperature_celsius"}
    flux = 'from(bucket: "raw") |> filter(fn: (r) => r._measurement == "cpu" and r._field == "usage")'
    assert unknown(flux) == {"usage"}


# --- payloads ---------------------------------------------------------------------------------------


def payloads() -> Iterator[tuple[str, str, str]]:
    """Each message that a page publishes below a device's own topic: place, topic and payload."""
    for block in _EXAMPLES.values():
        script = block.commands.replace("\\\n", " ")
        for topic, payload in re.findall(r"-t (sensetig/\w+/(?!command)\S+)\s+-m ('[^']*'|\S+)", script):
            yield block.name, topic, payload.strip("'")


@pytest.mark.parametrize(("place", "topic", "payload"), list(payloads()), ids=_short)
def test_a_published_payload_becomes_declared_points(place: str, topic: str, payload: str) -> None:
    outcomes = read_message(topic, payload.encode(), 1_795_260_000_000_000_000)
    assert outcomes, place
    for outcome in outcomes:
        assert not isinstance(outcome, Rejection), f"{place}: {outcome}"
        assert set(outcome.fields) | set(outcome.series.tags) <= names_of(outcome.series.measurement)


@of("json")
def test_an_example_in_json_is_valid(block: Block) -> None:
    assert json.loads(block.content)


# --- commands to devices ----------------------------------------------------------------------------

_NOW = 1_795_260_000


def commands() -> Iterator[tuple[str, str, str]]:
    """Each command that a page sends to a device: place, topic and payload, with the shell's parts filled in."""
    for block in _EXAMPLES.values():
        script = block.commands.replace("\\\n", " ")
        script = re.sub(r"\$\(\(\$\(date \+%s\) \+ (\d+)\)\)", lambda later: str(_NOW + int(later[1])), script)
        script = script.replace("$(date +%s)", str(_NOW)).replace("$number", "01")
        for topic, payload in re.findall(r'-t "?(sensetig/\w+/command/\w+)"?\s+-m "((?:[^"\\]|\\.)*)"', script):
            yield block.name, topic, payload.replace('\\"', '"')


@pytest.mark.parametrize(("place", "topic", "payload"), list(commands()), ids=_short)
def test_a_command_is_accepted(place: str, topic: str, payload: str) -> None:
    _, device, _, name = topic.split("/")
    names = [*AGENT_ALLOW.default.split(","), *CAMERA_ALLOW.default.split(",")]
    outcome = CommandValidator(device, names, names).validate(topic, payload.encode(), _NOW)
    assert isinstance(outcome, Command), f"{place}: {outcome}"
    if name == "led_text":
        text, ink, paper = arguments_of_text(outcome.arguments)
        assert text
        assert ink != paper


# --- names in commands and sentences ------------------------------------------------------------------

#: Variables of the tests and of `make`, which CONTRIBUTING.md describes.
_FOR_DEVELOPERS = {"SENSETIG_SCREENSHOTS", "SENSETIG_RTIMULIB", "SENSETIG_CACHE", "SENSETIG_GATEWAY_MESSAGES"}

#: A variable of earlier versions, which the page on Telegraf mentions.
_FORMER = {"SENSETIG_BUFFER"}

#: Beginnings and endings of names, as sentences mention them.
_PARTS = re.compile(r"SENSETIG_(?:\w+_)?$")


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_environment_variable_in_a_page_is_read_by_something(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    known = {variable(name, each) for name in catalogue() for each in (*collector_module(name).SETTINGS, SPOOL)}
    known |= set(re.findall(r"SENSETIG_\w+", (ROOT / "docs/reference/environment.md").read_text(encoding="utf-8")))
    known |= set(re.findall(r"SENSETIG_\w+", (ROOT / "containers/compose.yaml").read_text(encoding="utf-8")))
    if path.relative_to(ROOT).as_posix() == _TUTORIAL:
        known.add("SENSETIG_OPEN_FILES_FILE")
    named = {each for each in re.findall(r"\bSENSETIG_[A-Z_]*[A-Z_]\b", text) if not _PARTS.match(each)}
    assert named - known - _FOR_DEVELOPERS - _FORMER == set()


def words(script: str) -> Iterator[list[str]]:
    """The words of each command of a script, without comments and redirections."""
    for line in script.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||[|;]|\$\(", re.sub(r"(?:^|\s)#.*", "", line)):
            yield part.replace(")", " ").split()


def options() -> Iterator[tuple[str, str, str]]:
    """Each option of `sensetig` and of a collector in a block of commands: place, command and option."""
    for block in _EXAMPLES.values():
        if block.language not in ("sh", "console"):
            continue
        for parts in words(block.commands):
            names = [each.rpartition("/")[2] for each in parts]
            given = [each.partition("=")[0].strip("'\"") for each in parts if each.startswith("--")]
            if "collectors" in names and names[max(names.index("collectors") - 1, 0)] == "-m":
                rest = names[names.index("collectors") + 1 :]
                if rest and rest[0] in catalogue():
                    yield from ((block.name, f"collectors {rest[0]}", each) for each in given)
            elif "sensetig" in names:
                at = names.index("sensetig")
                rest, given = names[at + 1 :], [each for each in parts[at:] if each.startswith("--")]
                path: list[str] = []
                command: click.Command = main
                with click.Context(main) as context:
                    for each in rest:
                        found = command.get_command(context, each) if isinstance(command, click.Group) else None
                        if found is None:
                            break
                        command, path = found, [*path, each]
                if path:
                    yield from ((block.name, f"sensetig {' '.join(path)}", each.partition("=")[0]) for each in given)


def known_options(command: str) -> set[str]:
    """The options of a command of `sensetig`, or of a collector."""
    program, *path = command.split()
    if program == "collectors":
        named = {f"--{each.name.replace('_', '-')}" for each in collector_module(path[0]).SETTINGS}
        return named | {"--execd", "--help", "--spool"}
    found: click.Command = main
    with click.Context(main) as context:
        for name in path:
            assert isinstance(found, click.Group)
            inner = found.get_command(context, name)
            assert inner is not None
            found = inner
        return {option for each in found.get_params(context) for option in [*each.opts, *each.secondary_opts]}


@pytest.mark.parametrize(("place", "command", "option"), list(options()), ids=_short)
def test_an_option_in_a_block_exists(place: str, command: str, option: str) -> None:
    assert option in known_options(command), place


def extra_variables() -> Iterator[tuple[str, str]]:
    """Each variable that a command gives to the playbook: place and name."""
    for block in _EXAMPLES.values():
        for name in re.findall(r"\s-e '?\{?\"?(\w+)\"?[=:]", block.commands):
            yield block.name, name


@pytest.mark.parametrize(("place", "name"), list(extra_variables()), ids=_short)
def test_a_variable_of_a_command_is_one_of_the_playbook(place: str, name: str) -> None:
    of_playbooks = set()
    for playbook in (ROOT / "ansible").glob("*.yml"):
        of_playbooks |= set(re.findall(r"^ +([a-z]+_[a-z_]+):", playbook.read_text(encoding="utf-8"), re.MULTILINE))
    assert name in variables() | of_playbooks | {"restore_file", "token_rotate"}, place


def lines() -> Iterator[tuple[str, str]]:
    """Each line of line protocol that a block shows."""
    for block in _EXAMPLES.values():
        if block.language in ("", "console") and block.page != _TUTORIAL:
            for line in block.content.splitlines():
                if re.match(r"\w+(?:,\w+=\S+)? \w+=\S+ \d{19}$", line):
                    yield block.name, line


@pytest.mark.parametrize(("place", "line"), list(lines()), ids=_short)
def test_a_line_of_line_protocol_is_declared(place: str, line: str) -> None:
    series, fields, _time = line.rsplit(" ", 2)
    measurement, *tags = series.split(",")
    named: set[str] = {each.partition("=")[0] for each in [*tags, *fields.split(",")] if "=" in each}
    assert named <= names_of(measurement), place


def test_there_are_examples_of_each_kind() -> None:
    counts: dict[str, Any] = {
        "toml": [each for each in _EXAMPLES.values() if each.language == "toml"],
        "yaml": [each for each in _EXAMPLES.values() if each.language == "yaml"],
        "queries": list(queries()), "payloads": list(payloads()), "lines": list(lines()), "commands": list(commands()),
        "options": list(options()), "variables": list(extra_variables()),
    }  # fmt: skip
    assert all(counts.values()), {name: len(found) for name, found in counts.items()}
