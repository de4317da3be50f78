"""InfluxQL targets, written against the declarations: a field or tag that no collector declares does not build.

>>> from collectors.core.schema import COLLECTOR
>>> Source((COLLECTOR,)).mean("collector", "duration_seconds", by=("collector",)).unit
's'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collectors.core.schema import PIPELINE_TAGS, Measurement
from grafana.dashboards.lib import units
from grafana.dashboards.lib.targets import DATASOURCE, FLUX, FluxTarget, Target

__all__ = ["DATASOURCE", "FLUX", "HOURS", "SCOPE", "SPREAD", "FluxTarget", "Source", "Target", "switched", "variable"]

#: The name of a measurement of the bucket of hours in InfluxQL, whatever the datasource's own bucket is.
HOURS = '"hourly".."{}"'

#: The names of the columns of a spread.
SPREAD = ("min", "mean", "max")

#: Aggregates of points in the bucket of hours, where a mean keeps the field's name and the others have a suffix. A sum
#: needs more than a name; see ``_hours``.
_OF_HOURS = {
    "mean": 'mean("{}")',
    "max": 'max("{}__max")',
    "min": 'min("{}__min")',
    "last": 'last("{}")',
    "count": 'sum("{}__count")',
}

#: Every target is held to one device and one site; the dashboard's variables say which.
SCOPE = ('"host" =~ /^$host$/', '"site" =~ /^$site$/')


class Source:
    """The measurements that a module's targets may read.

    Args:
        scope: the conditions that every target has, with the dashboard's variables.
    """

    def __init__(self, *declared: Iterable[Measurement], scope: Sequence[str] = SCOPE) -> None:
        self._conditions = tuple(scope)
        self._measurements = {each.name: each for group in declared for each in group}

    def mean(
        self,
        measurement: str,
        *fields: str,
        by: Iterable[str] = (),
        where: Mapping[str, str] | None = None,
        alias: str = "",
        function: str = "mean",
        formula: str = "{}",
        names: Iterable[str] = (),
        fill: str = "null",
        hours: str = "",
    ) -> Target:
        """The fields over time, one point an interval: of points, or of hours where the interval is an hour or more.

        Args:
            by: the tags that make separate series.
            where: tags and the regular expression that each must match as a whole, or not match after a ``!``.
            alias: the legend; by default the tags that make the series, or the columns' names.
            function: the InfluxQL aggregate: mean, max, min, sum, count, last.
            formula: arithmetic around each aggregate, such as ``100 - {}``.
            names: the columns' names, in the order of the fields.
            hours: the aggregate of hours, where it is not the same: ``max`` for a truth value that was ever true.
        """
        self._check(measurement, fields, (*by, *(where or {})))
        titles = tuple(names) or fields
        pairs = tuple(zip(fields, titles, strict=True))
        columns = ", ".join(
            f"{formula.format(f'{function}({_quoted(field)})')} AS {_quoted(title)}" for field, title in pairs
        )
        group = f"GROUP BY {_groups(by)} fill({fill})"
        of_points = f"SELECT {columns} {self._scope(measurement, where)} {group}"
        of_hours = self._hours(hours or function, measurement, pairs, where, by, formula)
        unit = "short" if function == "count" else self.unit(measurement, fields[0])
        return Target(
            switched(of_points, f"{of_hours} {group}"),
            alias=alias or _alias(by),
            unit=unit,
            several=bool(tuple(by)) or len(fields) > 1,
        )

    def rate(
        self,
        measurement: str,
        *fields: str,
        by: Iterable[str] = (),
        where: Mapping[str, str] | None = None,
        alias: str = "",
        names: Iterable[str] = (),
        scale: float = 1,
        unit: str = "",
        summed: bool = False,
    ) -> Target:
        """How fast counters grow, per second; one that starts again (a reboot) gives no value, not a negative one.

        Args:
            summed: add up the series that *by* separates: each counter restarts alone.
        """
        self._check(measurement, fields, (*by, *(where or {})))
        titles = tuple(names) or fields
        factor = "" if scale == 1 else f" * {scale:g}"
        whole = "sum" if summed else "last"
        shown = ", ".join(f"{whole}({_quoted(title)}) AS {_quoted(title)}" for title in titles)
        groups = () if summed else by

        def query(suffix: str, name: str) -> str:
            columns = ", ".join(
                f"non_negative_derivative(max({_quoted(field + suffix)}), 1s){factor} AS {_quoted(title)}"
                for field, title in zip(fields, titles, strict=True)
            )
            rates = f"SELECT {columns} {self._scope(measurement, where, name)} GROUP BY {_groups(by)} fill(none)"
            # The outer query brings back the empty intervals, which a derivative leaves out, so that a silence shows.
            return f"SELECT {shown} FROM ({rates}) WHERE $timeFilter GROUP BY {_groups(groups)} fill(null)"  # noqa: S608 - no input

        return Target(
            switched(query("", ""), query("__max", HOURS.format(measurement))),
            alias=alias or _alias(groups),
            unit=units.grafana(unit or units.rate(self._declared(measurement).field(fields[0]).unit)),
            several=bool(tuple(by)) or len(fields) > 1,
        )

    def spread(
        self,
        measurement: str,
        field: str,
        *,
        where: Mapping[str, str] | None = None,
        names: tuple[str, str, str] = SPREAD,
        rest: bool = False,
    ) -> Target:
        """The minimum, mean and maximum of each interval, from the bucket of hours whatever the resolution is.

        Args:
            rest: the rest of 100: the maximum use is 100 less the minimum idle time.
        """
        self._check(measurement, (field,), where or {})
        parts = [f'min("{field}__min")', f'mean("{field}")', f'max("{field}__max")']
        if rest:
            parts = [f"100 - {each}" for each in reversed(parts)]
        columns = ", ".join(f"{part} AS {_quoted(name)}" for part, name in zip(parts, names, strict=True))
        scope = self._scope(measurement, where, HOURS.format(measurement))
        return Target(
            f"SELECT {columns} {scope} GROUP BY {_groups(())} fill(null)",
            alias="$col",
            unit=self.unit(measurement, field),
        )

    def newest(
        self,
        measurement: str,
        *fields: str,
        by: Iterable[str] = (),
        where: Mapping[str, str] | None = None,
        names: Iterable[str] = (),
    ) -> Target:
        """A table of the newest value of each field, a row for each group.

        Of one field the table's ``Time`` is when it was written; of several it is not.
        """
        self._check(measurement, fields, (*by, *(where or {})))
        titles = tuple(names) or fields
        columns = ", ".join(
            f"last({_quoted(field)}) AS {_quoted(title)}" for field, title in zip(fields, titles, strict=True)
        )
        groups = ", ".join(_quoted(tag) for tag in by)
        return Target(
            f"SELECT {columns} {self._scope(measurement, where)}" + (f" GROUP BY {groups}" if groups else ""),
            unit=self.unit(measurement, fields[0]),
            table=True,
        )

    def total(
        self,
        measurement: str,
        field: str,
        name: str,
        *,
        by: Iterable[str] = (),
        where: Mapping[str, str] | None = None,
        count: bool = False,
    ) -> Target:
        """A table of the sum of a field over the whole time range, or of the number of its values."""
        self._check(measurement, (field,), (*by, *(where or {})))
        function = "count" if count else "sum"
        group = f" GROUP BY {', '.join(map(_quoted, by))}" if tuple(by) else ""
        of_points = f"SELECT {function}({_quoted(field)}) AS {_quoted(name)} {self._scope(measurement, where)}{group}"
        of_hours = self._hours(function, measurement, ((field, name),), where, by, "{}")
        unit = "short" if count else self.unit(measurement, field)
        return Target(switched(of_points, f"{of_hours}{group}"), unit=unit, table=True)

    def points(
        self,
        measurement: str,
        columns: Mapping[str, str],
        *,
        where: Mapping[str, str] | None = None,
        matching: Mapping[str, tuple[str, str]] | None = None,
        limit: int,
    ) -> Target:
        """A table of the newest points as they were written: fields and tags, each under the name it is mapped to.

        Args:
            where: tags and their values.
            matching: fields of text, each with two regular expressions that it must match, without slashes around them:
                one of its beginning, for all points, and one of the whole, for the newest of those, since a whole text
                of kilobytes takes milliseconds.
        """
        declared = self._declared(measurement)
        known = {field.name for field in declared.fields} | self._tags(measurement)
        _refuse(measurement, "field or tag", set(columns) - known)
        chosen = ", ".join(f"{_quoted(column)} AS {_quoted(title)}" for column, title in columns.items())
        _refuse(measurement, "field", set(matching or ()) - known)
        scope = self._scope(measurement, where)
        newest = f"ORDER BY time DESC LIMIT {limit}"
        if not matching:
            return Target(f"SELECT {chosen} {scope} {newest}", table=True)
        begins = "".join(f" AND {_quoted(field)} =~ /{begin}/" for field, (begin, _) in matching.items())
        wholes = " AND ".join(f"{_quoted(columns[field])} =~ /{whole}/" for field, (_, whole) in matching.items())
        titles = ", ".join(map(_quoted, columns.values()))
        inner = f"SELECT {chosen} {scope}{begins} {newest}"
        return Target(f"SELECT {titles} FROM ({inner}) WHERE {wholes} {newest}", table=True)  # noqa: S608 - no input

    def origin(self, measurement: str, field: str) -> Target:
        """A series for each origin, named ``SIMULATED,REPLAYED`` with each mark ``true`` or empty."""
        target = self.mean(measurement, field, by=("simulated", "replayed"), function="last")
        target.alias = "$tag_simulated,$tag_replayed"
        return target

    def spans(self, measurement: str, begin: str, text: str, *, number: str, by: str, kind: str) -> FluxTarget:
        """Annotations from when something began to when its point was written.

        InfluxQL always takes a point's own time for the beginning of an annotation, which here is its end.

        Args:
            begin: the field with the beginning, in seconds since 1970.
            text: of the annotation, with ``{}`` for the number.
            number: a field in the text, rounded to a tenth.
            by: a tag, which becomes the annotation's tag.
            kind: which kind of the measurement's points, by its tag ``kind``.
        """
        self._check(measurement, (begin, number), (by, "kind"))
        before, after = text.split("{}")
        conditions = " and ".join(
            f"r.{each.replace(_quoted(tag), tag)}" for tag, each in zip(("host", "site"), SCOPE, strict=True)
        )
        return FluxTarget(
            "from(bucket: v.defaultBucket)\n"
            "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
            f'  |> filter(fn: (r) => r._measurement == "{measurement}" and r.kind == "{kind}")\n'
            f"  |> filter(fn: (r) => {conditions})\n"
            f'  |> filter(fn: (r) => r._field == "{begin}" or r._field == "{number}")\n'
            f'  |> pivot(rowKey: ["_time", "{by}"], columnKey: ["_field"], valueColumn: "_value")\n'
            "  |> group()\n"
            "  |> map(fn: (r) => ({\n"
            f"    time: time(v: int(v: r.{begin} * 1000.0) * 1000000),\n"
            "    timeEnd: r._time,\n"
            f'    text: "{before}" + string(v: float(v: int(v: r.{number} * 10.0 + 0.5)) / 10.0) + "{after}",\n'
            f"    tags: r.{by},\n"
            "  }))\n"
        )

    def written(self, query: str, *, alias: str = "", unit: str = "", table: bool = False) -> Target:
        """A query that is written out, where the other forms do not suffice; ``$scope`` is the usual conditions."""
        scope = " AND ".join((*self._conditions, "$timeFilter"))
        return Target(query.replace("$scope", scope), alias=alias, unit=units.grafana(unit), table=table)

    def unit(self, measurement: str, field: str) -> str:
        """Grafana's id of the declared unit."""
        return units.of(self._declared(measurement), field)

    def has(self, measurement: str, field: str) -> bool:
        """Whether the field is declared."""
        return any(each.name == field for each in self._declared(measurement).fields)

    def _declared(self, measurement: str) -> Measurement:
        if measurement not in self._measurements:
            raise KeyError(f"no collector declares the measurement {measurement!r}")
        return self._measurements[measurement]

    def _tags(self, measurement: str) -> set[str]:
        return {tag.name for tag in (*self._declared(measurement).tags, *PIPELINE_TAGS)}

    def _check(self, measurement: str, fields: Iterable[str], tags: Iterable[str]) -> None:
        _refuse(measurement, "field", set(fields) - {field.name for field in self._declared(measurement).fields})
        _refuse(measurement, "tag", set(tags) - self._tags(measurement))

    def _scope(self, measurement: str, where: Mapping[str, str] | None, name: str = "") -> str:
        conditions = [*self._conditions, *(_matches(tag, pattern) for tag, pattern in (where or {}).items())]
        return f"FROM {name or _quoted(measurement)} WHERE {' AND '.join(conditions)} AND $timeFilter"

    def _hours(
        self,
        function: str,
        measurement: str,
        pairs: Sequence[tuple[str, str]],
        where: Mapping[str, str] | None,
        by: Iterable[str],
        formula: str,
    ) -> str:
        """The same aggregates of the bucket of hours, without the grouping."""
        scope = self._scope(measurement, where, HOURS.format(measurement))
        if function != "sum":
            columns = ", ".join(
                f"{formula.format(_OF_HOURS[function].format(field))} AS {_quoted(title)}" for field, title in pairs
            )
            return f"SELECT {columns} {scope}"
        # The bucket has means and counts: what an hour added up to is their product.
        each = ", ".join(f'"{field}" * "{field}__count" AS {_quoted(title)}' for field, title in pairs)
        groups = ", ".join(map(_quoted, by))
        inner = f"SELECT {each} {scope}" + (f" GROUP BY {groups}" if groups else "")
        columns = ", ".join(f"{formula.format(f'sum({_quoted(title)})')} AS {_quoted(title)}" for _, title in pairs)
        return f"SELECT {columns} FROM ({inner}) WHERE $timeFilter"  # noqa: S608 - no input


def switched(of_points: str, of_hours: str) -> str:
    """Two queries in one, and InfluxQL sees one: ``$points`` or ``$hours`` makes the other a comment.

    Which it is follows the variable *Resolution*; see ``lib/buckets.py``.
    """
    return f"$points {of_points}\n$hours {of_hours}"


def variable(tag: str, measurement: str, conditions: str = "") -> dict[str, Any]:
    """The query of a variable that lists a tag's values."""
    where = f" WHERE {conditions}" if conditions else ""
    return {
        "query": f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{tag}"{where}',
        "rawQuery": True,
        "refId": "variable",
    }


def _quoted(name: str) -> str:
    return f'"{name}"'


def _matches(tag: str, pattern: str) -> str:
    if pattern.startswith("!"):
        return f"{_quoted(tag)} !~ /^{pattern[1:]}$/"
    return f"{_quoted(tag)} =~ /^{pattern}$/"


def _groups(by: Iterable[str]) -> str:
    return ", ".join(("time($interval)", *(_quoted(tag) for tag in by)))


def _alias(by: Iterable[str]) -> str:
    return " ".join(f"$tag_{tag}" for tag in by) or "$col"


def _refuse(measurement: str, kind: str, unknown: set[str]) -> None:
    if unknown:
        raise KeyError(f"measurement {measurement!r} declares no {kind} {', '.join(sorted(unknown))}")
