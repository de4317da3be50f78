"""Settings that a program writes into a person's file, and nothing else changes."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.core.settings_file import SettingsFileError, Value, changed

FILE = """\
# What is where.
[pi]
fan = true

[camera]  # the hall
name = "hall"
min_area_percent = 0.5   # a cat

# The road.
mask = "0,0 50,0 50,30"

[vision]
min_area_percent = 3.0
"""


def test_value_is_replaced_in_its_section_alone() -> None:
    text = changed(FILE, "camera", {"min_area_percent": 1.25, "mask": ""})
    assert text == FILE.replace("min_area_percent = 0.5   # a cat", "min_area_percent = 1.25").replace(
        'mask = "0,0 50,0 50,30"', 'mask = ""'
    )


def test_new_value_is_added_at_the_end_of_its_section() -> None:
    text = changed(FILE, "camera", {"noise_factor": 4.0, "clips": False})
    assert text == FILE.replace('50,30"\n', '50,30"\nnoise_factor = 4.0\nclips = false\n')


@pytest.mark.parametrize("before", ["", "# nothing yet\n", "[pi]\nfan = true", "[pi]\n\n\n"])
def test_missing_section_is_added(before: str) -> None:
    text = changed(before, "camera", {"detect_width": 320})
    assert text.startswith(before.rstrip("\n"))
    assert tomllib.loads(text) == {**tomllib.loads(before), "camera": {"detect_width": 320}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[camera\n", "not valid TOML"),
        ('[camera]\nmask = """\n0,0 50,0\n50,30"""\n', "a value on several lines"),
        ('camera = { mask = "" }\n', "a value on several lines"),
    ],
)
def test_file_that_only_a_person_can_change_is_left_alone(text: str, sentence: str) -> None:
    with pytest.raises(SettingsFileError, match=sentence):
        changed(text, "camera", {"mask": "0,0 1,0 1,1"})


@given(
    st.dictionaries(
        st.sampled_from(["mask", "name", "min_area_percent", "noise_factor", "detect_width", "clips"]),
        st.one_of(st.text(max_size=20), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.booleans()),
        max_size=6,
    )
)
def test_every_value_is_read_back_as_it_was_written(values: dict[str, Value]) -> None:
    expected = tomllib.loads(FILE)
    expected["camera"].update(values)
    assert tomllib.loads(changed(FILE, "camera", values)) == expected
