// Summarises every numeric field of the bucket raw by the hour into the bucket hourly.
//
// A field keeps its name and tags; its value is the hour's mean, always as a float. Beside it stand
// <field>__min, <field>__max and <field>__count. The two underscores keep them apart from a field that a
// device itself calls temperature_max. A truth value counts as 1 or 0, so its mean is the share of the
// points of that hour in which it was true. Texts have no mean and are left out.
//
// The run of each full hour summarises the last 26 hours again: a point that comes in up to a day late still
// gets into its hour, and an hour that was summarised before is overwritten by the same point with newer values.
//
// The run of each half hour summarises an earlier block of 30 hours again, so that a point gets into its hour
// however late it comes. Blocks are counted from 1970. One run takes one block, each run the one before that of
// the last run, until the retention of the bucket raw has been gone through; then it begins again. The cost of a
// run does not depend on the retention. With 30 days, each hour is summarised again at the latest after 27
// hours.

import "array"
import "date"
import "regexp"
import "strings"
import "types"

option task = {name: "downsample_hourly", every: 30m, offset: 2m}

// Nanoseconds.
hour = 3600000000000
block = 30 * hour

// A bucket that keeps its points for ever is gone through as far back as the hours of five years.
kept = (buckets() |> filter(fn: (r) => r.name == "raw") |> findRecord(fn: (key) => true, idx: 0)).retentionPeriod
blocks = (if kept == 0 then 1827 * 24 * hour else kept) / block + 2

fullHour = date.truncate(t: now(), unit: 1h)
hours = int(v: fullHour) / hour
late = int(v: fullHour) / block - hours % blocks

stop = if date.minute(t: now()) < 30 then fullHour else time(v: late * block)
start = if date.minute(t: now()) < 30 then date.sub(d: 26h, from: fullHour) else time(v: (late - 1) * block)

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

byHour = (fn, tables=<-) => tables |> aggregateWindow(every: 1h, fn: fn, createEmpty: false, timeSrc: "_start")

// Each summary reads for itself: what two of them shared would not be summarised while it is read.
numbers = (fn) =>
    from(bucket: "raw")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._field !~ others)
        |> byHour(fn: fn)

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

mixedNumbers |> byHour(fn: mean) |> save(suffix: "")
mixedNumbers |> byHour(fn: min) |> save(suffix: "__min")
mixedNumbers |> byHour(fn: max) |> save(suffix: "__max")
mixedNumbers |> byHour(fn: count) |> save(suffix: "__count")

// Truth values are counted while they are read: so many were true in this hour, so many false.
held =
    from(bucket: "raw")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._field =~ truths and r._value == true)
        |> byHour(fn: count)
        |> set(key: "was", value: "yes")

unheld =
    from(bucket: "raw")
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._field =~ truths and r._value == false)
        |> byHour(fn: count)
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
