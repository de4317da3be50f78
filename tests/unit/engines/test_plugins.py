"""The plugins of the built Telegraf follow from the configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sensetig import bundle
from sensetig.engines import catalogue, plugins, sources


def test_tables_and_data_formats_become_build_tags() -> None:
    text = """
[agent]
  interval = "10s"
[[inputs.execd]]
  command = ["x"]
  data_format = "influx"
  [inputs.execd.tags]
    a = "b"
[[processors.execd]]
  data_format = "influx"
[[outputs.file]]
  data_format = "json"
[[secretstores.systemd]]
"""
    assert plugins.named(text) == {
        "inputs.execd",
        "parsers.influx",
        "processors.execd",
        "serializers.influx",
        "outputs.file",
        "serializers.json",
        "secretstores.systemd",
    }


def test_an_alternative_that_is_switched_off_counts() -> None:
    text = """
## The native inputs measure the same.
# [[inputs.cpu]]
#   percpu = true
  # [[inputs.exec]]
  #   data_format = "csv"
"""
    assert plugins.named(text) == {"inputs.cpu", "inputs.exec", "parsers.csv"}


def test_prose_does_not_count() -> None:
    assert plugins.named("## Use [[inputs.mqtt_consumer]] instead.\n  ## [[inputs.snmp]]\n") == frozenset()
    assert plugins.named("## [[inputs.snmp]]\n") == frozenset()


def test_a_variable_where_toml_wants_a_value_does_not_stop_it() -> None:
    assert plugins.named("[[inputs.exec]]\n  timeout = ${TIMEOUT}\n") == {"inputs.exec"}


def test_all_files_below_the_folder_count_and_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "telegraf.d").mkdir()
    (tmp_path / "telegraf.conf").write_text("[[outputs.influxdb_v2]]\n")
    (tmp_path / "telegraf.d" / "a.conf").write_text("[[inputs.cpu]]\n")
    (tmp_path / "telegraf.d" / "a.md").write_text("[[inputs.mem]]\n")
    assert plugins.configured(tmp_path) == {"outputs.influxdb_v2", "inputs.cpu"}


def test_the_fingerprint_is_of_the_list_and_not_of_its_order() -> None:
    assert plugins.fingerprint(["inputs.cpu", "inputs.mem"]) == plugins.fingerprint(["inputs.mem", "inputs.cpu"])
    assert plugins.fingerprint(["inputs.cpu"]) != plugins.fingerprint(["inputs.cpu", "inputs.mem"])


def test_the_bundles_own_list_has_what_its_files_name_and_the_stated_extras() -> None:
    spec = catalogue.load().engines["telegraf"]
    assert spec.build is not None
    wanted = sources.wanted_plugins(spec, bundle.root())
    assert {"outputs.influxdb_v2", "inputs.execd", "parsers.influx"} <= wanted
    assert wanted == plugins.configured(bundle.root() / "telegraf") | set(spec.build.extra)
    assert all(reason.strip() for reason in spec.build.extra.values())


@pytest.mark.parametrize("folder", ["tests", "docs"])
def test_what_tests_and_documentation_configure_is_in_the_list(folder: str) -> None:
    spec = catalogue.load().engines["telegraf"]
    wanted = sources.wanted_plugins(spec, bundle.root())
    table = re.compile(r"\[\[((?:inputs|outputs|processors|aggregators|secretstores)\.\w+)\]\]")
    files = [file for file in (bundle.root() / folder).rglob("*.*") if file.suffix in {".py", ".md", ".conf", ".toml"}]
    here = Path(__file__).parent  # these tests contain plugins that are not configured
    named = {name for file in files if here not in file.parents for name in table.findall(file.read_text("utf-8"))}
    assert named <= wanted
    assert named
