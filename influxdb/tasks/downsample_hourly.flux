// Summarises every numeric field of the bucket raw by the hour into the bucket hourly.
//
// A field keeps its name and tags; its value is the hour's mean, always as a float. Beside it stand
// <field>__min, <field>__max and <field>__count. The two underscores keep them apart from a field that a
// device itself calls temperature_max. A truth value counts as 1 or 0, so its mean is the share of the
// points of that hour in which it was true. Texts have no mean and are left out.
//
// Each run summarises the last 26 hours again: a point that comes in up to a day late still gets into its
// hour, and an hour that was summarised before is overwritten by the same point with newer values.

import "array"
import "date"
import "regexp"
import "strings"
import "types"

option task = {name: "downsample_hourly", every: 1h, offset: 2m}

stop = date.truncate(t: now(), unit: 1h)
start = date.sub(d: 26h, from: stop)

// InfluxDB summarises numbers while it reads them, which takes about a hundredth of the time and a tenth of
// the memory that Flux needs for it. But a text or a truth value among them makes the whole query fail, even
// one that has points at other times alone, as long as they are in the same shard. So the names of such fields
// are looked up first, in all of these shards. A shard is a day, and in it a field of a measurement has one
// type, so the first point of each day tells.
firstDay = date.truncate(t: start, unit: 1d)
lastDay = date.add(d: 1d, to: date.truncate(t: stop, unit: 1d))
kinds = from(bucket: "raw") |> range(start: firstDay, stop: lastDay) |> aggregateWindow(every: 1d, fn: first, createEmpty: false)

isNumber = (v) =>
    types.isType(v: v, type: "float") or types.isType(v: v, type: "int") or types.isType(v: v, type: "uint")

names = (of) =>
    kinds
        |> filter(fn: (r) => of(v: r._value))
        |> keep(columns: ["_field"])
        |> group()
        |> distinct(column: "_field")
        |> findColumn(fn: (key) => true, column: "_value")

oneOf = (names) =>
    regexp.compile(
        v: "^(" + strings.joinStr(arr: array.map(arr: names, fn: (x) => regexp.quoteMeta(v: x)), v: "|") + ")$",
    )

truthNames = names(of: (v) => types.isType(v: v, type: "bool"))
textNames = names(of: (v) => types.isType(v: v, type: "string"))
numberNames = names(of: isNumber)
otherNames = array.concat(arr: truthNames, v: textNames)

truths = oneOf(names: truthNames)
others = oneOf(names: otherNames)

// Names that are a number in one measurement and something else in another: few, if any.
mixed = oneOf(names: array.filter(arr: otherNames, fn: (x) => contains(value: x, set: numberNames)))

save = (suffix, tables=<-) =>
    tables
        |> toFloat()
        |> map(fn: (r) => ({r with _field: r._field + suffix}))
        |> to(bucket: "hourly")

hours = (fn, tables=<-) => tables |> aggregateWindow(every: 1h, fn: fn, createEmpty: false, timeSrc: "_start")

// Each summary reads for itself: what two of them shared would not be summarised while it is read.
numbers = (fn) =>
    from(bucket: "raw")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._field !~ others)
        |> hours(fn: fn)

numbers(fn: mean) |> save(suffix: "")
numbers(fn: min) |> save(suffix: "__min")
numbers(fn: max) |> save(suffix: "__max")
numbers(fn: count) |> save(suffix: "__count")

mixedNumbers =
    from(bucket: "raw")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._field =~ mixed)
        |> filter(fn: (r) => isNumber(v: r._value))
        |> toFloat()

mixedNumbers |> hours(fn: mean) |> save(suffix: "")
mixedNumbers |> hours(fn: min) |> save(suffix: "__min")
mixedNumbers |> hours(fn: max) |> save(suffix: "__max")
mixedNumbers |> hours(fn: count) |> save(suffix: "__count")

// Truth values are counted while they are read: so many were true in this hour, so many false.
held =
    from(bucket: "raw")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._field =~ truths and r._value == true)
        |> hours(fn: count)
        |> set(key: "was", value: "yes")

unheld =
    from(bucket: "raw")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._field =~ truths and r._value == false)
        |> hours(fn: count)
        |> set(key: "was", value: "no")

counted =
    union(tables: [held, unheld])
        |> pivot(rowKey: ["_time"], columnKey: ["was"], valueColumn: "_value")
        |> map(
            fn: (r) =>
                ({r with yes: if exists r.yes then float(v: r.yes) else 0.0,
                    no: if exists r.no then float(v: r.no) else 0.0,
                }),
        )

truthSummary = (fn, suffix) =>
    counted
        |> map(fn: (r) => ({r with _value: fn(yes: r.yes, no: r.no)}))
        |> drop(columns: ["yes", "no"])
        |> save(suffix: suffix)

truthSummary(fn: (yes, no) => yes / (yes + no), suffix: "")
truthSummary(fn: (yes, no) => if no > 0.0 then 0.0 else 1.0, suffix: "__min")
truthSummary(fn: (yes, no) => if yes > 0.0 then 1.0 else 0.0, suffix: "__max")
truthSummary(fn: (yes, no) => yes + no, suffix: "__count")
