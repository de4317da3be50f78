"""Invalid input to the operator's commands: each is rejected with a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from collectors import clock
from collectors.core.schema import Field, Measurement
from sensetig import bundle
from sensetig.__main__ import main
from sensetig.cli.reference import kept_in


@pytest.mark.parametrize("given", ["nan", "inf", "-inf", "-1"])
def test_setup_waits_for_no_time_that_does_not_end(given: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    done = CliRunner().invoke(main, ["setup", "--tokens", str(tokens), f"--wait={given}"])
    assert done.exit_code == 2
    assert f"'--wait': {given} is no number of seconds to wait; give one of 0 or more, such as 30" in done.stderr
    assert not tokens.exists()


def test_the_reference_of_a_checkout_is_in_its_docs() -> None:
    assert kept_in(bundle.root()) == bundle.root() / "docs" / "reference"


def test_an_installation_without_docs_says_where_the_reference_can_go(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException) as caught:
        kept_in(tmp_path)
    assert "only a checkout has; name a file with --file, or print the reference with --file -" in caught.value.message


def test_the_reference_refuses_an_unknown_unit_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    field = Field("input", float, "V", "Voltage.")
    monkeypatch.setattr(clock, "MEASUREMENTS", (Measurement("supply", "A supply.", (), (field,)),))
    done = CliRunner().invoke(main, ["reference", "--file", "-"])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: measurement 'supply', field 'input': unknown unit 'V'; the units are ")
    assert done.stderr.count("\n") == 1


def test_the_reference_lists_the_units_with_their_symbols() -> None:
    done = CliRunner().invoke(main, ["reference", "--file", "-"])
    assert "\n## Units\n" in done.stdout
    assert "\n| `radians_per_second` | rad/s |\n" in done.stdout
