// Summarises every numeric field of the bucket raw by the hour into the bucket hourly.
//
// A field keeps its name and tags; its value is the hour's mean, always as a float. Beside it stand
// <field>__min, <field>__max and <field>__count. The two underscores keep them apart from a field that a
// device itself calls temperature_max. A truth value counts as 1 or 0, so its mean is the share of the
// hour in which it was true. Texts have no mean and are left out.
//
// Each run summarises the last 26 hours again: a point that comes in up to a day late still gets into its
// hour, and an hour that was summarised before is overwritten by the same point with newer values.

import "date"
import "types"

option task = {name: "downsample_hourly", every: 1h, offset: 2m}

stop = date.truncate(t: now(), unit: 1h)
start = date.sub(d: 26h, from: stop)

isNumeric = (v) =>
    types.isType(v: v, type: "float") or types.isType(v: v, type: "int") or types.isType(v: v, type: "uint")
        or
        types.isType(v: v, type: "bool")

points =
    from(bucket: "raw")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => isNumeric(v: r._value))
        |> toFloat()

summarise = (fn, suffix, tables=<-) =>
    tables
        |> aggregateWindow(every: 1h, fn: fn, createEmpty: false, timeSrc: "_start")
        |> toFloat()
        |> map(fn: (r) => ({r with _field: r._field + suffix}))
        |> to(bucket: "hourly")

points |> summarise(fn: mean, suffix: "")
points |> summarise(fn: min, suffix: "__min")
points |> summarise(fn: max, suffix: "__max")
points |> summarise(fn: count, suffix: "__count")
