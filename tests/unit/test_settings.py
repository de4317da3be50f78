"""Settings from the file, the environment and the options, each stronger than the one before."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from collectors.core.settings import Setting, SettingsError, Values, resolve, variable

BACKEND = Setting("backend", str, "auto", "Where readings come from.", choices=("auto", "hat"))
COUNT = Setting("count", int, 3, "How many.", low=1, high=9)
FACTOR: Setting[float | None] = Setting("factor", float, None, "A factor.", low=0)
QUIET = Setting("quiet", bool, False, "Whether to be quiet.")
NAME = Setting("long_name", str, "", "A text.")
SETTINGS = (BACKEND, COUNT, FACTOR, QUIET, NAME)


def settled(
    text: str | None = None, environ: Mapping[str, str] | None = None, options: Mapping[str, str | None] | None = None
) -> Values:
    return resolve(
        "room",
        SETTINGS,
        file="sensetig.toml",
        text=text,
        sections=("room", "roof"),
        environ=environ or {},
        options=options or {},
    )


def refused(*args: object, **kwargs: object) -> str:
    with pytest.raises(SettingsError) as error:
        settled(*args, **kwargs)  # type: ignore[arg-type]
    return str(error.value)


def test_the_default_applies_without_a_setting() -> None:
    values = settled()
    assert (values[BACKEND], values[COUNT], values[FACTOR], values[QUIET]) == ("auto", 3, None, False)


def test_an_option_prevails_over_a_variable_over_the_file_over_the_default() -> None:
    text, environ, options = "[room]\ncount = 4\n", {"SENSETIG_ROOM_COUNT": "5"}, {"count": "6"}
    assert settled(text)[COUNT] == 4
    assert settled(text, environ)[COUNT] == 5
    assert settled(text, environ, options)[COUNT] == 6
    assert settled(text, {}, options)[COUNT] == 6


def test_the_variable_s_name_follows_from_the_setting_s() -> None:
    assert variable("sensehat", NAME) == "SENSETIG_SENSEHAT_LONG_NAME"


def test_an_empty_variable_counts_as_none_since_service_files_set_such() -> None:
    assert settled(environ={"SENSETIG_ROOM_COUNT": ""})[COUNT] == 3


@pytest.mark.parametrize("word", ["1", "true", "Yes", " ON "])
def test_truth_has_many_words(word: str) -> None:
    assert settled(environ={"SENSETIG_ROOM_QUIET": word})[QUIET] is True


def test_a_whole_number_serves_as_a_number() -> None:
    value = settled("[room]\nfactor = 2\n")[FACTOR]
    assert value == 2.0
    assert type(value) is float


@pytest.mark.parametrize(
    ("setting", "given", "expected"),
    [
        ("COUNT", "many", "must be a whole number from 1 to 9"),
        ("COUNT", "0", "must be a whole number from 1 to 9"),
        ("COUNT", "10", "must be a whole number from 1 to 9"),
        ("COUNT", "1.5", "must be a whole number from 1 to 9"),
        ("FACTOR", "-1", "must be a number of at least 0"),
        ("FACTOR", "nan", "must be a number of at least 0"),
        ("FACTOR", "inf", "must be a number of at least 0"),
        ("BACKEND", "usb", "must be one of auto, hat"),
        ("QUIET", "maybe", "must be true or false"),
    ],
)
def test_an_invalid_variable_is_named_with_the_expected_value(setting: str, given: str, expected: str) -> None:
    name = f"SENSETIG_ROOM_{setting}"
    assert refused(environ={name: given}) == f"{name} is {given!r}; it {expected}"


def test_a_wrong_option_is_named_as_it_is_written() -> None:
    assert refused(options={"count": "x"}) == "--count is 'x'; it must be a whole number from 1 to 9"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '# note\n[room]\n\ncount = "4"\n',
            "sensetig.toml, line 4: [room] count is '4'; it must be a whole number from 1 to 9",
        ),
        ("[room]\ncount = 4.0\n", "sensetig.toml, line 2: [room] count is 4.0; it must be a whole number from 1 to 9"),
        (
            "[room]\ncount = true\n",
            "sensetig.toml, line 2: [room] count is True; it must be a whole number from 1 to 9",
        ),
        ("[room]\nquiet = 1\n", "sensetig.toml, line 2: [room] quiet is 1; it must be true or false"),
        ("[room]\nbackend = 'usb'\n", "sensetig.toml, line 2: [room] backend is 'usb'; it must be one of auto, hat"),
        (
            "[roof]\ncount = 1\n[room]\ncuont = 4\n",
            "sensetig.toml, line 4: [room] cuont is not a setting; [room] has backend, count, factor, long_name, quiet",
        ),
        ("\n[rooom]\ncount = 4\n", "sensetig.toml, line 2: unknown section [rooom]; there are room, roof"),
        ("count = 4\n", "sensetig.toml, line 1: unknown section [count]; there are room, roof"),
        ("room = 4\n", "sensetig.toml, line 1: room must be a section: [room]"),
    ],
)
def test_a_wrong_file_is_named_with_its_line_and_key(text: str, message: str) -> None:
    assert refused(text) == message


def test_a_file_that_is_not_toml_is_named_with_the_line() -> None:
    message = refused("[room]\ncount = = 4\n")
    assert message.startswith("sensetig.toml is not valid TOML: ")
    assert "line 2" in message


def test_another_section_s_keys_are_not_this_collector_s_concern() -> None:
    assert settled("[roof]\nanything = 1\n")[COUNT] == 3


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (BACKEND, "one of auto, hat"),
        (COUNT, "a whole number from 1 to 9"),
        (FACTOR, "a number of at least 0"),
        (Setting("x", int, 0, "X.", high=9), "a whole number of at most 9"),
        (QUIET, "true or false"),
        (NAME, "a text"),
    ],
)
def test_the_expected_value_of_a_setting_is_described_in_words(setting: Setting[object], words: str) -> None:
    assert setting.expected == words
