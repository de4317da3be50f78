"""Metrics of arbitrary content for the property tests, and what line protocol carries of each."""

from __future__ import annotations

import math

import numpy
from hypothesis import strategies as st

from collectors.core.line_protocol import (
    MAX_TIME_NS,
    MIN_TIME_NS,
    RESERVED_FIELDS,
    RESERVED_TAGS,
    FieldValue,
    Metric,
    Series,
    clean_name,
    clean_string,
)

#: Any Python string, with an increased share of characters that are special in line protocol.
TEXTS = st.text(st.one_of(st.sampled_from('\\, ="#\n\r\t\x00\u2028\ud800'), st.characters()), max_size=12)
NAMES = TEXTS.filter(bool)
TAG_KEYS = NAMES.filter(lambda key: key not in RESERVED_TAGS)
VALUES = st.one_of(st.floats(), st.integers(-(2**64), 2**64), st.booleans(), TEXTS, st.floats().map(numpy.float64))
TIMES = st.one_of(st.none(), st.integers(MIN_TIME_NS, MAX_TIME_NS))
METRICS = st.builds(
    Metric,
    st.builds(Series, NAMES, st.dictionaries(TAG_KEYS, TEXTS, max_size=4)),
    st.dictionaries(st.one_of(NAMES, NAMES, TEXTS), VALUES, min_size=1, max_size=4),
    TIMES,
)


def carried(metric: Metric) -> Metric | None:
    """The metric after a round trip through a line, or None if no field remains.

    Of two fields whose names are equal in line protocol, the one with the unmodified name is kept.
    """
    fields: dict[str, FieldValue] = {}
    for key, value in metric.fields.items():
        if not key or key in RESERVED_FIELDS or (isinstance(value, float) and not math.isfinite(value)):
            continue
        if key != clean_name(key) and [clean_name(other) for other in metric.fields].count(clean_name(key)) > 1:
            continue
        if type(value) is int and not -(2**63) <= value < 2**63:
            continue
        if isinstance(value, str):
            fields[clean_name(key)] = clean_string(value)
        else:
            fields[clean_name(key)] = float(value) if isinstance(value, float) else value
    return Metric(metric.series, fields, metric.time_ns) if fields else None
