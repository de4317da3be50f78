"""Golden cases: each collector's output, compared with the expected output.

``pytest tests/test_cases.py --regenerate`` writes the expected output; the diff then shows how a change affects the
metrics.
"""

from __future__ import annotations

import importlib.util
import tomllib
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest

from collectors.core.api import Module
from collectors.core.line_protocol import Metric, Series
from collectors.core.line_protocol_parser import decode_lines
from collectors.core.schema import COLLECTOR
from sensetig.declarations import declared
from tests.golden import CASES, DATA, Case, find_cases, mask, read_case, read_volatile, run
from tests.schema_check import violations

ALL = find_cases()


@pytest.mark.parametrize("case", ALL, ids=[case.label for case in ALL])
def test_a_collector_prints_what_its_case_expects(case: Case, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    for needed in case.needs:
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{case.label} needs the Python module {needed}")
    if case.wants_data and not DATA.is_dir():
        pytest.skip(f"{case.label} needs the recordings in {DATA.name}/ beside the project")

    outcome = run(case, tmp_path)
    metrics = list(decode_lines(outcome.out))
    lines = "".join(f"{line}\n" for line in mask(metrics, read_volatile(case.collector)))
    expected_out, expected_err = case.folder / "expected.out", case.folder / "expected.err"
    if request.config.getoption("--regenerate"):
        expected_out.write_text(lines, encoding="utf-8")
        if outcome.err:
            expected_err.write_text(outcome.err, encoding="utf-8")
        else:
            expected_err.unlink(missing_ok=True)

    if case.stdin is None:
        declarations = (*cast("Module", import_module(f"collectors.{case.collector}")).MEASUREMENTS, COLLECTOR)
    else:  # what goes through it is any collector's
        declarations = tuple(each.measurement for each in declared().values())
    assert outcome.status == case.status, outcome.err
    assert outcome.err == (expected_err.read_text(encoding="utf-8") if expected_err.exists() else "")
    assert lines == expected_out.read_text(encoding="utf-8")
    assert [sentence for metric in metrics for sentence in violations(metric, declarations)] == []


def test_every_folder_of_a_case_has_its_case_file_and_its_expected_output() -> None:
    folders = [folder for folder in CASES.glob("*/*") if folder.is_dir()]
    lacking = [
        f"{folder.relative_to(CASES)}/{name}"
        for folder in folders
        for name in ("case.toml", "expected.out")
        if not (folder / name).is_file()
    ]
    assert lacking == [], "run the golden cases once with --regenerate"


def test_every_volatile_pattern_belongs_to_a_collector_with_cases() -> None:
    document = tomllib.loads((CASES / "volatile.toml").read_text(encoding="utf-8"))
    assert set(document) - {"common"} <= {case.collector for case in ALL}


def test_a_volatile_value_is_written_as_an_asterisk_and_the_rest_as_it_is() -> None:
    metric = Metric(Series("cpu", {"cpu": "cpu0"}), {"usage": 1.5, "name": "a=b", "count": 3}, 17)
    assert list(mask([metric], ["cpu/usage", "*/time"])) == ['cpu,cpu=cpu0 usage=*,name="a=b",count=3i *']


def test_a_volatile_text_with_signs_of_the_protocol_leaves_its_key_alone() -> None:
    metric = Metric(Series("m"), {"a": 'x="y=1', "b c": "1=2"}, 17)
    assert list(mask([metric], ["m/a", "m/b c"])) == [r"m a=*,b\ c=* 17"]


def test_lines_alike_once_their_tags_are_masked_are_written_once() -> None:
    metrics = [Metric(Series("cpu", {"cpu": f"cpu{number}"}), {"usage": float(number)}, 17) for number in range(4)]
    assert list(mask(metrics, ["cpu/cpu", "cpu/usage"])) == ["cpu,cpu=* usage=* 17"]


def test_lines_alike_without_a_masked_tag_are_all_written() -> None:
    metrics = [Metric(Series("cpu"), {"usage": float(number)}, number) for number in range(2)]
    assert list(mask(metrics, ["cpu/usage", "*/time"])) == ["cpu usage=* *", "cpu usage=* *"]


def test_a_case_with_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "case.toml").write_text("argument = []\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"case\.toml: unknown key argument; a case has arguments"):
        read_case(tmp_path)
