"""The desired state of InfluxDB as data: parsing, and one sentence for each invalid definition."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensetig import bundle
from sensetig.errors import SetupError
from sensetig.influxdb.definitions import Bucket, Mapping, parse_buckets, parse_mappings, parse_task, read

DAY = 86_400


def test_the_bundle_keeps_points_for_30_days_and_hours_for_5_years() -> None:
    definitions = read(bundle.root() / "influxdb")
    kept = {bucket.name: bucket.retention_seconds / DAY for bucket in definitions.buckets}
    assert kept == {"raw": 30, "hourly": pytest.approx(5 * 365.25, abs=1)}
    assert definitions.buckets[0].name == "raw", "the first bucket is the one that Telegraf may write to"
    assert [task.name for task in definitions.tasks] == ["downsample_hourly"]


def test_a_bucket_without_options_is_kept_as_influxdb_chooses() -> None:
    assert parse_buckets("[raw]\nretention_days = 0\n", "b.toml") == (Bucket("raw", "", 0, 0),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[raw]\nretention = 30\n", "b.toml: [raw] retention is not a setting; expected description, retention_days"),
        ("[raw]\n", "b.toml: [raw] retention_days is missing; it must be a whole number"),
        ('[raw]\nretention_days = "30d"\n', "b.toml: [raw] retention_days is '30d'; it must be a whole number"),
        ("[raw]\nretention_days = true\n", "retention_days is True; it must be a whole number"),
        ("[raw]\nretention_days = -1\n", "retention_days is -1; it must be a number of days, or 0"),
        ("retention_days = 30\n", "b.toml: retention_days is outside a section"),
        ("", "b.toml: there is no bucket"),
        ("[raw\n", "b.toml is not valid TOML"),
    ],
)
def test_a_wrong_bucket_gets_a_sentence_with_file_and_key(text: str, said: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse_buckets(text, "b.toml")
    assert said in str(caught.value)


def test_a_mapping_is_not_the_default_unless_it_says_so() -> None:
    text = '[[mapping]]\ndatabase = "d"\nretention_policy = "p"\nbucket = "raw"\n'
    assert parse_mappings(text, "m.toml", ("raw",)) == (Mapping("d", "p", "raw", False),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[mapping]]\ndatabase = "d"\nretention_policy = "p"\nbucket = "rw"\n',
            "m.toml: mapping 1 names the bucket 'rw'; buckets.toml has raw",
        ),
        ('[[mapping]]\ndatabase = "d"\n', "m.toml: mapping 1 retention_policy is missing"),
        ("mapping = [1]\n", "m.toml: mapping 1 is 1; expected [[mapping]]"),
        ("[mapping]\nx = 1\n", "m.toml mapping is {'x': 1}; it must be a list: [[mapping]]"),
        ("[[mappings]]\n", "m.toml mappings is not a setting; expected mapping"),
    ],
)
def test_a_wrong_mapping_gets_a_sentence_with_file_and_number(text: str, said: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse_mappings(text, "m.toml", ("raw",))
    assert said in str(caught.value)


def test_a_task_is_named_by_its_own_option() -> None:
    text = 'import "date"\noption task = {\n    every: 1h,\n    name: "by the hour",\n}\n'
    assert parse_task(text, "t.flux").name == "by the hour"


def test_a_task_without_a_name_gets_a_sentence_with_its_file() -> None:
    with pytest.raises(SetupError, match=r"t\.flux: this task has no name"):
        parse_task("option task = {every: 1h}", "t.flux")


def test_a_missing_folder_gets_a_sentence_that_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"buckets\.toml is not there; --definitions"):
        read(tmp_path)
