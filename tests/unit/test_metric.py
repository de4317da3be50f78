"""Metrics, and line protocol in and out."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping

import numpy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.core.line_protocol import (
    MAX_NAME_BYTES,
    MAX_STRING_BYTES,
    MAX_TIME_NS,
    MIN_TIME_NS,
    FieldValue,
    Metric,
    Series,
    clean_measurement,
    clean_name,
    encode,
)
from collectors.core.line_protocol_parser import ParseError, decode, decode_lines
from tests.arbitrary import METRICS, carried


def line(fields: Mapping[str, FieldValue], time_ns: int | None = None) -> str:
    return encode(Metric(Series("m"), fields, time_ns))


def refusals(fields: Mapping[str, object], time_ns: int | None = None) -> tuple[str, list[str]]:
    said: list[str] = []
    return encode(Metric(Series("m"), fields, time_ns), said.append), said  # type: ignore[arg-type]


# --- series -----------------------------------------------------------------------------------------


def test_tags_are_sorted_so_that_equal_series_have_equal_prefixes() -> None:
    assert Series("cpu", {"host": "pi", "cpu": "cpu0"}).prefix == "cpu,cpu=cpu0,host=pi "
    assert Series("cpu", {"a": "1", "b": "2"}) == Series("cpu", {"b": "2", "a": "1"})
    assert hash(Series("cpu", {"a": "1", "b": "2"})) == hash(Series("cpu", {"b": "2", "a": "1"}))


def test_series_with_other_tags_differ() -> None:
    assert Series("cpu", {"a": "1"}) != Series("cpu", {"a": "2"})
    assert Series("cpu") != "cpu "


def test_a_series_needs_a_measurement() -> None:
    with pytest.raises(ValueError, match="a measurement needs a name"):
        Series("")


def test_a_tag_needs_a_key_and_the_message_names_its_value() -> None:
    with pytest.raises(ValueError, match="'cpu' has a tag without a key; its value is 'x'"):
        Series("cpu", {"": "x"})


@pytest.mark.parametrize("key", ["time", "_field", "_measurement"])
def test_a_tag_that_influxdb_would_refuse_is_refused_by_name(key: str) -> None:
    with pytest.raises(ValueError, match=f"measurement 'cpu' has a tag '{key}', a name that InfluxDB keeps"):
        Series("cpu", {key: "x"})
    with pytest.raises(ParseError, match=f"column 1: measurement 'cpu' has a tag '{key}'"):
        decode(f"cpu,{key}=x f=1")


def test_a_series_that_influxdb_would_refuse_for_its_length_is_refused() -> None:
    assert Series("m", {"t": "x" * (MAX_NAME_BYTES - 5)})
    for value in ("x" * MAX_NAME_BYTES, "€" * (MAX_NAME_BYTES // 3)):
        with pytest.raises(ValueError, match="measurement 'm' with its tags is above 32767 bytes"):
            Series("m", {"t": value})


def test_a_tag_with_an_empty_value_is_left_out() -> None:
    assert Series("cpu", {"cpu": ""}) == Series("cpu")


def test_special_characters_are_escaped_where_they_are_special() -> None:
    series = Series("a,b c=d", {"k,e y=": "v=a, l"})
    assert series.prefix == r"a\,b\ c=d,k\,e\ y\==v\=a\,\ l "


def test_a_leading_number_sign_which_would_make_a_comment_becomes_a_slash() -> None:
    assert Series("#cpu").measurement == "/cpu"
    assert Series("c#pu", {"#": "#"}).prefix == "c#pu,#=# "


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("tab\tand\nbreak\x00and\x7f", "tab and break and "),
        ("C:\\", "C:/"),
        ("a\\ b", "a/ b"),
        ("a\\\\,b", "a//,b"),
        ("a\\b", "a\\b"),
        ("a\\\\b", "a\\\\b"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("\u2028 stays", "\u2028 stays"),
    ],
)
def test_a_name_is_spelled_as_line_protocol_can_carry_it(text: str, cleaned: str) -> None:
    assert clean_name(text) == cleaned
    assert clean_measurement(text) == cleaned


def test_an_equals_sign_and_a_quote_are_special_in_tags_and_fields_and_not_in_measurements() -> None:
    assert clean_name("a\\=b") == "a/=b"
    assert clean_name('a\\"b') == 'a/"b'
    assert clean_measurement("a\\=b") == "a\\=b"
    assert decode(r"a\=b f=1").series.measurement == r"a\=b"
    assert decode(r"m,a\=b=c f=1").series.tags == {"a=b": "c"}


# --- fields -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (1.5, "1.5"),
        (-0.0, "-0.0"),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (3, "3i"),
        (-(2**63), "-9223372036854775808i"),
        (2**63 - 1, "9223372036854775807i"),
        (True, "true"),
        (False, "false"),
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash\\", r'"back\\slash\\"'),
        ("two\nlines\r\n", r'"two\\nlines\\r\\n"'),
        ("\u2028\x00\t", '"\u2028\x00\t"'),
    ],
)
def test_a_value_is_spelled_by_its_kind(value: FieldValue, spelled: str) -> None:
    assert line({"f": value}) == f"m f={spelled}"


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(Level.HIGH, "3i"), (Colour.RED, '"red"'), (numpy.float64(0.1), "0.1"), (numpy.str_("a"), '"a"')],
)
def test_a_subclass_is_encoded_as_its_base_type(value: FieldValue, spelled: str) -> None:
    assert refusals({"f": value}) == (f"m f={spelled}", [])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "line protocol cannot carry nan"),
        (math.inf, "line protocol cannot carry inf"),
        (-math.inf, "line protocol cannot carry -inf"),
        (numpy.float64("nan"), "line protocol cannot carry nan"),
        (2**63, "it is an integer beyond 64 bits"),
        (-(10**5000), "it is an integer beyond 64 bits"),
        (None, "it is a NoneType, and a field is a float, an int, a bool or a str"),
        (numpy.float32(1), "it is a float32, and a field is a float, an int, a bool or a str"),
        ("x" * (MAX_STRING_BYTES + 1), "it is a string of 65537 bytes, and 65536 is the most"),
        ("ü" * (MAX_STRING_BYTES // 2 + 1), "it is a string of 65538 bytes, and 65536 is the most"),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_a_value_that_cannot_be_held_is_left_out_with_a_sentence(value: object, why: str) -> None:
    assert refusals({"f": value, "g": 1}) == ("m g=1i", [f"field 'f' of 'm' left out: {why}"])


def test_the_longest_string_is_carried() -> None:
    assert len(line({"f": "x" * MAX_STRING_BYTES})) == MAX_STRING_BYTES + len('m f=""')


def test_a_field_without_a_name_is_left_out_whatever_its_kind() -> None:
    for value in (1.0, 1, True, "x"):
        assert refusals({"": value}) == ("", ["field '' of 'm' left out: it has no name"])


def test_a_field_that_influxdb_would_refuse_for_its_name_is_left_out() -> None:
    assert refusals({"time": 1.0, "g": 1}) == (
        "m g=1i",
        ["field 'time' of 'm' left out: InfluxDB keeps that name for itself"],
    )
    assert refusals({"x" * MAX_NAME_BYTES: 1, "g": 1}) == (
        "m g=1i",
        [f"field '{'x' * 80}' of 'm' left out: its name is above 32767 bytes"],
    )


def test_a_field_s_name_is_cleaned_as_a_tag_s_is() -> None:
    assert refusals({"a\tb": 1.0, "c\\": 2}) == ("m a\\ b=1.0,c/=2i", [])


def test_a_field_whose_cleaned_name_is_another_s_is_left_out() -> None:
    assert refusals({"a b": 1.0, "a\tb": True, "c": 2}) == (
        "m a\\ b=1.0,c=2i",
        ["field 'a\\tb' of 'm' left out: its name would be written as 'a b', as another field's is"],
    )
    assert refusals({"a\nb": 1.0, "a\tb": True})[0] == ""


def test_a_metric_without_a_field_left_is_no_line() -> None:
    assert line({}) == ""
    assert line({"f": math.nan}, 17) == ""


def test_the_time_is_last_and_is_omitted_if_the_receiver_sets_it() -> None:
    assert line({"f": 1}, 17) == "m f=1i 17"
    assert line({"f": 1}, 0) == "m f=1i 0"
    assert line({"f": 1}) == "m f=1i"


@pytest.mark.parametrize("time_ns", [MIN_TIME_NS - 1, MAX_TIME_NS + 1, 10**40])
def test_a_metric_of_an_impossible_time_is_left_out_rather_than_dated_now(time_ns: int) -> None:
    assert refusals({"f": 1}, time_ns) == ("", ["'m' left out: its time is beyond the years 1677 to 2262"])


def test_many_different_field_names_do_not_grow_the_memory() -> None:
    from collectors.core.line_protocol import _FIELD_KEYS, _MAX_CACHED

    for number in range(_MAX_CACHED * 2):
        assert line({f"field{number}": 1}) == f"m field{number}=1i"
    assert len(_FIELD_KEYS) <= _MAX_CACHED


# --- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("m f=1", {"f": 1.0}),
        ("m f=-1.5e-7,g=.5,h=5.,i=1e+2", {"f": -1.5e-7, "g": 0.5, "h": 5.0, "i": 100.0}),
        ("m f=12i,g=-3i,h=7u,i=0i", {"f": 12, "g": -3, "h": 7, "i": 0}),
        ("m f=9223372036854775807i,g=18446744073709551615u", {"f": 2**63 - 1, "g": 2**64 - 1}),
        ("m a=t,b=T,c=true,d=True,e=TRUE", dict.fromkeys("abcde", True)),
        ("m a=f,b=F,c=false,d=False,e=FALSE", dict.fromkeys("abcde", False)),
        (r'm f="say \"hi\", a=b c\\d"', {"f": 'say "hi", a=b c\\d'}),
        ('m f=""', {"f": ""}),
        (r"m a\ b\,c\=d=1", {"a b,c=d": 1.0}),
        ('m f="ü\u2028"', {"f": "ü\u2028"}),
    ],
)
def test_a_field_is_read_by_its_spelling(text: str, fields: dict[str, FieldValue]) -> None:
    read = decode(text)
    assert dict(read.fields) == fields
    assert [type(value) for value in read.fields.values()] == [type(value) for value in fields.values()]


def test_blanks_between_the_parts_may_be_many() -> None:
    assert decode("\tm,a=b   f=1  17\t ") == Metric(Series("m", {"a": "b"}), {"f": 1.0}, 17)


def test_a_time_may_be_negative_or_absent() -> None:
    assert decode("m f=1 -17").time_ns == -17
    assert decode("m f=1").time_ns is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: expected a measurement"),
        ("m", "column 1: expected a measurement"),
        (",a=b f=1", "column 1: expected a measurement"),
        ("#m f=1", "column 1: expected a measurement"),
        ('#m f="x"', "column 1: expected a measurement"),
        ("m,a f=1", "column 3: expected tag=value: 'a'"),
        ("m,a= f=1", "column 3: expected tag=value: 'a='"),
        ("m,=b f=1", "column 3: expected tag=value"),
        ("m,a=b, f=1", "column 7: expected tag=value"),
        ("m f", "column 3: expected field=value: 'f'"),
        ("m f=", "column 3: expected field=value"),
        ("m =1", "column 3: expected field=value"),
        ("m f=1,", "column 7: expected field=value"),
        ('m f="open', "column 3: expected field=value"),
        ("m f=nan", "'nan' is no field value"),
        ("m f=inf", "'inf' is no field value"),
        ("m f=1_000", "'1_000' is no field value"),
        ("m f=1_0i", "'1_0i' is no field value"),
        ("m f=\u0661i", "'\u0661i' is no field value"),
        ("m f=0x10", "'0x10' is no field value"),
        ("m f=+1", "'+1' is no field value"),
        ("m f=01i", "'01i' is no field value"),
        ("m f=1e400", "'1e400' is no field value"),
        ("m f=9223372036854775808i", "'9223372036854775808i' is no field value"),
        ("m f=18446744073709551616u", "'18446744073709551616u' is no field value"),
        ("m f=1 9223372036854775808", "column 7: expected a time in nanoseconds"),
        ("m f=1e", "'1e' is no field value"),
        ("m f=1=2", "'1=2' is no field value"),
        ("m f=yes", "'yes' is no field value"),
        ("m f=1 now", "column 7: expected a time in nanoseconds: 'now'"),
        ("m f=1 1_7", "column 7: expected a time in nanoseconds"),
        ("m f=1 12345678901234567890", "column 7: expected a time in nanoseconds"),
        ("m f=1 17 18", "column 7: expected a time in nanoseconds"),
    ],
)
def test_invalid_line_protocol_is_rejected_with_its_position(text: str, message: str) -> None:
    with pytest.raises(ParseError) as refused:
        decode(text)
    assert message in str(refused.value)


def test_a_batch_passes_over_blank_lines_and_comments() -> None:
    assert [metric.series.measurement for metric in decode_lines("a f=1\n\n# note\n  \n  # note\nb f=2\r\n")] == [
        "a",
        "b",
    ]


def test_an_error_in_a_batch_has_its_line_number() -> None:
    with pytest.raises(ParseError, match="line 3, column 1: expected a measurement"):
        list(decode_lines("a f=1\n\nb\n"))


# --- properties -------------------------------------------------------------------------------------


@given(METRICS)
@example(Metric(Series("m\\", {"\\": "\\", "a\\,": "=\\"}), {"\\ ": "\\", 'b"': '\\"'}, 0))
def test_whatever_is_encoded_reads_back_the_same(metric: Metric) -> None:
    written = encode(metric)
    expected = carried(metric)
    if expected is None:
        assert written == ""
    else:
        assert decode(written) == expected


@given(METRICS)
def test_a_metric_is_one_line_of_valid_utf_8(metric: Metric) -> None:
    written = encode(metric)
    assert not set(written) & set("\n\r")
    assert written.encode("utf-8").decode("utf-8") == written


@given(METRICS)
def test_encoding_a_parsed_line_gives_the_same_line(metric: Metric) -> None:
    written = encode(metric)
    if written:
        assert encode(decode(written)) == written


@given(st.text(st.sampled_from('m,a=b \\"1.e+-iutfT#_\t\n'), max_size=24))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        fields = dict(decode(text).fields)
    except ParseError as error:
        fields = {"refused": str(error)}
    assert fields
    assert all(value != "" for key, value in fields.items() if key == "refused")


@given(st.text(st.sampled_from("m,a=b 1.e+-iutfT_"), max_size=24))
def test_the_fast_way_of_reading_agrees_with_the_thorough_one(text: str) -> None:
    from collectors.core.line_protocol_parser import _decode_any, _decode_plain

    stripped = text.strip("\r\n ")
    fast = _decode_plain(stripped)
    if fast is not None:
        assert fast == _decode_any(stripped)
