"""The samples of one batch; no two of them have the same series and time.

InfluxDB keeps only one of two points with the same series and time: field by field the later one. It does not report
the other one. A collector distinguishes its sources by a tag; if it does not, the loss is counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collectors.core.line_protocol import FieldValue, Metric


class Distinct:
    """Detects samples that InfluxDB would merge with an earlier one of the batch.

    Args:
        error: receives a sentence for each lost sample.
    """

    def __init__(self, error: Callable[[str], None]) -> None:
        self._error = error
        self._seen: dict[tuple[str, int | None], Mapping[str, FieldValue]] = {}

    def clear(self) -> None:
        """Begin a batch."""
        self._seen.clear()

    def admits(self, metric: Metric) -> bool:
        """Whether the sample adds data to the batch.

        Fields that the earlier sample lacks do. Equal values do not, and lose nothing. Different values of the same
        fields would replace the earlier ones: they are counted as an error.
        """
        key = (metric.series.prefix, metric.time_ns)
        known = self._seen.setdefault(key, metric.fields)
        if known is metric.fields:
            return True
        shared = known.keys() & metric.fields.keys()
        if any(known[name] != metric.fields[name] for name in shared):
            self._error(
                f"two samples of {metric.series.prefix[:200].rstrip()} have the same time, and InfluxDB keeps one of "
                "them: the second is left out"
            )
            return False
        if len(shared) == len(metric.fields):
            return False
        self._seen[key] = {**known, **metric.fields}
        return True
