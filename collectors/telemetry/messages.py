"""What a gateway received, each message whole in one line, as the metrics that the message holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.messaging.parsers import Rejection, read_encoded

#: Telegraf gives these to all that it collects, and a processor gives them to nothing that it makes.
_WHENCE = ("host", "site")


def read(
    message: Metric, received_ns: int, kinds: Callable[[str], Mapping[str, type]]
) -> Iterator[Metric | Rejection] | None:
    """The metrics of a message, and what of it is refused; None where the metric is no message.

    Args:
        message: with the tag ``topic`` and the payload in base64 in the field ``value``.
        received_ns: the time of what has none of its own.
        kinds: of the fields that are declared of a measurement; JSON does not tell a float from an integer.
    """
    topic, value = message.series.tags.get("topic"), message.fields.get("value")
    if topic is None or not isinstance(value, str):
        return None
    whence = {name: message.series.tags[name] for name in _WHENCE if name in message.series.tags}
    return _read(topic, value, received_ns, whence, kinds)


def _read(
    topic: str, value: str, received_ns: int, whence: Mapping[str, str], kinds: Callable[[str], Mapping[str, type]]
) -> Iterator[Metric | Rejection]:
    for each in read_encoded(topic, value, received_ns):
        if isinstance(each, Metric):
            name = each.series.measurement
            time_ns = received_ns if each.time_ns is None else each.time_ns
            yield Metric(Series(name, {**whence, **each.series.tags}), _as_declared(each.fields, kinds(name)), time_ns)
        else:
            yield each


def _as_declared(fields: Mapping[str, FieldValue], kinds: Mapping[str, type]) -> dict[str, FieldValue]:
    """The fields with each whole number an integer where it is declared as one."""
    return {
        name: int(value) if kinds.get(name) is int and type(value) is float and value.is_integer() else value
        for name, value in fields.items()
    }
