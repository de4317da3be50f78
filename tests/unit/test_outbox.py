"""The outbox without a network: lines, files, damage, accounting."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import time
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from collectors.outbox import Outbox, read_totals, scan
from sensetig.errors import OutboxError
from sensetig.outbox import app
from sensetig.outbox.batch import Destination, decode, encode
from sensetig.outbox.delivery import MAX_POINTS, Delivery, deliver
from sensetig.outbox.lines import split, stamp
from sensetig.outbox.store import Full, Store
from sensetig.outbox.upstream import Refused, Unreachable

RAW = Destination("sensetig", "raw")


def lines_of(count: int, start: int = 0) -> list[bytes]:
    return [b"cpu,host=hall usage=%d.5 %d" % (number, 1_700_000_000 + number) for number in range(start, start + count)]


def opened(
    folder: Path, log: list[str], *, max_bytes: int = 10_000_000, free: Callable[[str], int] = lambda _: 10**12
) -> Store:
    return Store(str(folder), max_bytes, 1_000_000, time.time_ns, free, log.append)


class Server:
    """An InfluxDB that stores its points, and rejects lines that contain `bad` as InfluxDB does."""

    def __init__(self, *, refuse_whole: bool = False) -> None:
        self.points: list[bytes] = []
        self.away = False
        self.requests = 0
        self._refuse_whole = refuse_whole

    def send(self, destination: Destination, lines: Sequence[bytes]) -> Refused | None:
        assert destination == RAW
        self.requests += 1
        if self.away:
            raise Unreachable("InfluxDB does not answer")
        bad = [line for line in lines if b"bad" in line]
        if not bad or not self._refuse_whole:
            self.points += [line for line in lines if line not in bad]
        if not bad:
            return None
        return Refused("unable to parse", None) if self._refuse_whole else Refused("type conflict", len(bad))


def drained(store: Store, server: Server) -> list[tuple[bytes, str]]:
    """Deliver all that waits; the refused points."""
    refused: list[tuple[bytes, str]] = []
    delivery = Delivery(store, server, lambda line, why: refused.append((line, why)), lambda: None, lambda _: None)
    while delivery._deliver_oldest():
        pass
    return refused


# --- lines ------------------------------------------------------------------------------------------


def test_lines_are_split_where_influxdb_splits_them() -> None:
    body = b'\n# comment\nm,t=a\\ b f="two\nlines \\" more" 5\r\n\nm,t=5" f=1 6\nm f="a,b=c\n" 7\n'
    assert split(body) == [b'm,t=a\\ b f="two\nlines \\" more" 5', b'm,t=5" f=1 6', b'm f="a,b=c\n" 7']


def test_a_line_without_a_time_gets_the_time_of_arrival_in_the_unit_of_the_request() -> None:
    lines = [b"m f=1", b"m f=1 5", b'm f="a 12"', b"m,t=a\\ 12 f=2i", b"m f=1 -7"]
    assert stamp(lines, 3_000_000_000, "s") == [
        b"m f=1 3", b"m f=1 5", b'm f="a 12" 3', b"m,t=a\\ 12 f=2i 3", b"m f=1 -7",
    ]  # fmt: skip


@pytest.mark.parametrize("piece", [b'"', b"\\", b" ", b"a", b'"\\', b"\n", b'=",', b"\\\n", b"# "])
def test_splitting_takes_linear_time(piece: bytes) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        start = time.thread_time()  # of this thread alone, so that a busy machine changes nothing
        split(text)
        return time.thread_time() - start

    seconds(1000)
    small, large = min(seconds(100_000) for _ in range(3)), min(seconds(1_000_000) for _ in range(3))
    assert large < 40 * small + 0.05


@given(st.lists(st.tuples(st.text(alphabet='ab"\\\n ,=', max_size=12), st.integers(0, 10**18)), max_size=30))
def test_a_batch_gives_back_its_lines(values: list[tuple[str, int]]) -> None:
    quoted = [(text.replace("\\", "\\\\").replace('"', '\\"'), number) for text, number in values]
    lines = [f'm f="{text}" {number}'.encode() for text, number in quoted]
    assert split(b"\n".join(lines)) == lines
    assert [line for block in decode(encode(RAW, lines)) for line in block.lines] == lines
    assert {block.destination for block in decode(encode(RAW, lines))} <= {RAW}


# --- the folder -------------------------------------------------------------------------------------


def test_points_outlive_the_process_and_arrive_once_in_order(tmp_path: Path) -> None:
    store = opened(tmp_path, [])
    for start in (0, 100, 200):
        store.add(RAW, lines_of(100, start))
    store._lock.release()  # killed: nothing is saved
    server = Server()
    again = opened(tmp_path, [])
    assert drained(again, server) == []
    assert server.points == lines_of(300)
    assert server.requests == 1, "the batches go out together"
    assert again.totals["stored_points"] == 300
    assert scan(str(tmp_path)) == []


@pytest.mark.parametrize("number", [0, 1, 2], ids=["first", "middle", "last"])
def test_a_missing_file_is_counted_wherever_it_was(tmp_path: Path, number: int) -> None:
    store = opened(tmp_path, [])
    for start in (0, 10, 20):
        store.add(RAW, lines_of(10, start))
    store.save()
    store._lock.release()  # killed
    (tmp_path / scan(str(tmp_path))[number].name).unlink()
    server = Server()
    again = opened(tmp_path, [])
    drained(again, server)
    assert len(server.points) == 20
    assert again.totals["missing_batches"] == 1
    again.close()
    assert opened(tmp_path, []).totals["missing_batches"] == 1, "counted once"


def test_the_last_file_is_missed_also_where_the_totals_were_not_saved_since(tmp_path: Path) -> None:
    log: list[str] = []
    store = opened(tmp_path, log)
    store.save()
    for number in range(3):
        store.add(RAW, lines_of(4, number * 4))
    store._lock.release()  # killed
    (tmp_path / scan(str(tmp_path))[-1].name).unlink()
    again = opened(tmp_path, log)
    assert again.totals["missing_batches"] == 1
    assert again.next_number == 2
    again._lock.release()
    assert opened(tmp_path, log).totals["missing_batches"] == 1, "it is counted once"


def test_the_numbers_of_delivered_files_are_not_missed_after_the_totals_are_lost(tmp_path: Path) -> None:
    log: list[str] = []
    store = opened(tmp_path, log)
    for number in range(3):
        store.add(RAW, lines_of(4, number * 4))
        (waiting,) = store.oldest()
        store.remove(store.read(waiting), {"stored_points": 4})
    store._lock.release()
    (tmp_path / "state.json").unlink()
    again = opened(tmp_path, log)
    assert again.totals["missing_batches"] == 0
    again.add(RAW, lines_of(4))
    again.close()
    assert opened(tmp_path, log).totals["missing_batches"] == 0


def test_many_waiting_files_go_out_in_few_requests(tmp_path: Path) -> None:
    store = opened(tmp_path, [])
    for start in range(0, 20_000, 100):
        store.add(RAW, lines_of(100, start))
    server = Server()
    assert drained(store, server) == []
    assert server.points == lines_of(20_000)
    assert server.requests <= 20_000 // MAX_POINTS + 1
    assert store.totals["stored_points"] == 20_000


def test_a_bad_point_among_many_files_costs_itself_alone(tmp_path: Path) -> None:
    store = opened(tmp_path, [])
    for start in range(0, 1000, 100):
        store.add(RAW, [*lines_of(99, start), b"bad value=1 1" if start == 500 else b"good value=1 1"])
    server = Server()
    assert [line for line, _ in drained(store, server)] == [b"bad value=1 1"]
    assert (store.totals["stored_points"], store.totals["refused_points"]) == (999, 1)
    assert len(set(server.points)) == 991, "nine equal points and 990 others"


def test_what_cannot_be_sent_together_is_sent_file_by_file(tmp_path: Path) -> None:
    """As over a network that is too slow for a large request."""

    class Slow(Server):
        def send(self, destination: Destination, lines: Sequence[bytes]) -> Refused | None:
            if len(lines) > 100:
                raise Unreachable("InfluxDB does not answer (WriteTimeoutError)")
            return super().send(destination, lines)

    store, server = opened(tmp_path, []), Slow()
    for start in range(0, 500, 100):
        store.add(RAW, lines_of(100, start))
    delivery = Delivery(store, server, lambda *_: None, lambda: None, lambda _: None)
    with pytest.raises(Unreachable):
        delivery._deliver_oldest()
    while delivery._deliver_oldest():
        pass
    assert server.points == lines_of(500)
    assert store.totals["stored_points"] == 500


def test_after_a_damaged_state_no_file_is_taken_for_missing(tmp_path: Path) -> None:
    store = opened(tmp_path, [])
    for start in (0, 10, 20):
        store.add(RAW, lines_of(10, start))
    drained(store, Server())
    store.add(RAW, lines_of(10, 30))
    store.close()
    (tmp_path / "state.json").write_bytes(b"\0")
    again = opened(tmp_path, [])
    drained(again, Server())
    assert again.totals["missing_batches"] == 0


@pytest.mark.parametrize("before", [None, b"\0{"], ids=["new", "damaged"])
def test_the_totals_are_written_from_the_start(tmp_path: Path, before: bytes | None) -> None:
    if before is not None:
        (tmp_path / "state.json").write_bytes(before)
    opened(tmp_path, []).save()
    totals = read_totals(str(tmp_path))
    assert totals is not None
    assert totals["damaged_points"] == 0


def test_a_process_killed_between_counting_and_removing_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, [])
    store.add(RAW, [*lines_of(10), b"m bad=1 5"])
    store.add(RAW, lines_of(5, 50))
    monkeypatch.setattr(store, "_unlink", _killed)
    server = Server()
    with pytest.raises(KeyboardInterrupt):
        drained(store, server)
    store._lock.release()
    again = opened(tmp_path, [])
    assert again.waiting == 1, "the first batch is counted, so it is removed without being sent again"
    drained(again, server)
    assert (again.totals["stored_points"], again.totals["refused_points"]) == (15, 1)
    assert list(dict.fromkeys(server.points)) == [*lines_of(10), *lines_of(5, 50)]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_two_processes_cannot_use_one_folder(tmp_path: Path) -> None:
    first = opened(tmp_path, [])
    with pytest.raises(OutboxError, match=r"another process uses the outbox in .*; stop it, or name another folder"):
        opened(tmp_path, [])
    first.close()
    opened(tmp_path, []).close()


def test_its_bounds_are_kept_and_nothing_is_taken_beyond_them(tmp_path: Path) -> None:
    room = {"free": 2_000_000}
    store = opened(tmp_path, [], max_bytes=3_000, free=lambda _: room["free"])

    def fill() -> None:
        for start in range(0, 10_000, 100):
            store.add(RAW, lines_of(100, start))

    with pytest.raises(Full, match="have reached 3000 bytes"):
        fill()
    before = scan(str(tmp_path))
    assert sum(each.size for each in before) <= 3_000
    drained(store, Server())
    room["free"] = 1_000_100
    with pytest.raises(Full, match="fewer than 1000000 bytes are free"):
        store.add(RAW, lines_of(100))
    room["free"] = 2_000_000
    store.add(RAW, lines_of(100))
    assert store.waiting == 1


def test_missing_files_are_counted(tmp_path: Path) -> None:
    log: list[str] = []
    store = opened(tmp_path, log)
    for start in range(0, 500, 100):
        store.add(RAW, lines_of(100, start))
    drained_one = Server()
    delivery = Delivery(store, drained_one, lambda *_: None, lambda: None, log.append)
    delivery._deliver_alone(store.read(store.oldest()[0]))
    store.close()
    names = [each.name for each in scan(str(tmp_path))]
    for name in names[:2]:
        (tmp_path / name).unlink()
    again = opened(tmp_path, log)
    drained(again, Server())
    assert again.totals["missing_batches"] == 2
    assert any("2 files before" in sentence for sentence in log)


DRAWS = 1200


@pytest.mark.parametrize("count", [3, 100, 800])
def test_random_damage_of_a_file_costs_only_the_damaged_blocks(count: int) -> None:
    numbers = random.Random(20261130 + count)
    lines = lines_of(count)
    clean = encode(RAW, lines)
    blocks = list(decode(clean))
    assert [line for block in blocks for line in block.lines] == lines
    per_block = max(len(block.lines) for block in blocks)
    for _ in range(DRAWS):
        content = bytearray(clean)
        spoiled = _damage(numbers, content)
        found = [line for block in decode(bytes(content)) for line in block.lines]
        assert len(set(found)) == len(found)
        assert set(found) <= set(lines), "nothing is invented"
        if spoiled is not None:
            assert count - len(found) <= spoiled * per_block


def test_damage_of_a_kilobyte_costs_few_points() -> None:
    """The lines are as long as those of a real collector: some 90 bytes a point in the file."""
    numbers = random.Random(4)
    lines = [
        b"disk,device=mmcblk0p%d,fstype=ext4,host=hall,mode=rw,path=/srv/%d,site=home free=%di,inodes_free=%di,"
        b"inodes_total=7700480i,total=%di,used=%di,used_percent=%.6f %d"
        % (number % 5, number % 5, *(numbers.randrange(10**10) for _ in range(4)), numbers.random(), 10**18 + number)
        for number in range(480)
    ]
    clean = encode(RAW, lines)
    for start in range(0, len(clean) - 1024, 1024):
        content = clean[:start] + bytes(1024) + clean[start + 1024 :]
        lost = len(lines) - sum(len(block.lines) for block in decode(content))
        assert lost <= 1024 * len(lines) // len(clean) + 12


def test_random_damage_in_the_folder_never_stops_it_and_is_counted(tmp_path: Path) -> None:
    """Each draw damages one file of three; every point of the others arrives, and each lost point is counted."""
    numbers = random.Random(20261130)
    for draw in range(60):
        folder = tmp_path / f"{draw}"
        store = opened(folder, [])
        for start in (0, 600, 1200):
            store.add(RAW, lines_of(600, start))
        store.close()
        victim = folder / scan(str(folder))[1].name
        content = bytearray(victim.read_bytes())
        _damage(numbers, content)
        victim.write_bytes(content)
        server = Server()
        again = opened(folder, [])
        assert drained(again, server) == []
        arrived = set(server.points)
        assert len(arrived) == len(server.points)
        assert arrived <= set(lines_of(1800)), "nothing is invented"
        assert set(lines_of(600)) | set(lines_of(600, 1200)) <= arrived, "the other batches are whole"
        assert again.totals["damaged_points"] == 1800 - len(arrived) == 1800 - again.totals["stored_points"]
        again.close()


def _damage(numbers: random.Random, content: bytearray) -> int | None:
    """Damage a file in place; the blocks that may be lost by it, or None for any number."""
    kind = numbers.choice(["bits", "garbage", "zeros", "truncated", "empty", "start", "inserted"])
    at = numbers.randrange(len(content))
    if kind == "bits":
        for _ in range(count := numbers.randint(1, 3)):
            content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
        return count
    if kind in ("garbage", "zeros"):
        length = numbers.randint(1, 64)
        content[at : at + length] = numbers.randbytes(length) if kind == "garbage" else bytes(length)
        return 2
    if kind == "truncated":
        del content[at:]
    elif kind == "empty":
        content.clear()
    elif kind == "start":
        del content[: min(at, 40)]
        return 1
    else:
        content[at:at] = numbers.randbytes(numbers.randint(1, 40))
        return 1
    return None


def test_damaged_totals_start_again_and_nothing_else_is_lost(tmp_path: Path) -> None:
    store = opened(tmp_path, [])
    store.add(RAW, lines_of(10))
    store.close()
    (tmp_path / "state.json").write_bytes(b"\x00\x00{")
    log: list[str] = []
    server = Server()
    drained(opened(tmp_path, log), server)
    assert server.points == lines_of(10)
    assert "state.json is damaged; the totals start again at 0" in log[0]


# --- delivery ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("refuse_whole", [False, True], ids=["422", "400"])
def test_refused_points_are_found_and_all_others_stored(refuse_whole: bool) -> None:
    numbers = random.Random(7)
    for bad in (1, 3, 40, 200):
        lines = lines_of(200)
        places = numbers.sample(range(200), bad)
        for place in places:
            lines[place] = b"m bad=%d 1" % place
        server = Server(refuse_whole=refuse_whole)
        outcome = deliver(server.send, RAW, lines)
        assert outcome.stored == 200 - bad
        assert sorted(line for line, _ in outcome.refused) == sorted(lines[place] for place in places)
        assert set(server.points) == {line for line in lines if b"bad" not in line}
        if bad == 1:
            assert server.requests <= 2 * 8 + 1


def test_points_go_straight_through_while_influxdb_answers_and_wait_while_it_does_not(tmp_path: Path) -> None:
    server, log = Server(), list[str]()
    store = opened(tmp_path, log)
    delivery = Delivery(store, server, lambda *_: None, lambda: None, log.append)
    assert not delivery.take(RAW, lines_of(10))
    assert scan(str(tmp_path)) == []
    server.away = True
    assert delivery.take(RAW, lines_of(10, 10)), "these wait"
    delivery.take(RAW, lines_of(10, 20))
    assert server.requests == 2, "InfluxDB is not asked again for each write"
    assert [each.points for each in scan(str(tmp_path))] == [10, 10]
    assert log == ["InfluxDB does not answer; points wait on this disk"]
    server.away = False
    while delivery._deliver_oldest():
        pass
    assert not delivery.take(RAW, lines_of(10, 30))
    assert server.points == lines_of(40)
    assert store.totals["stored_points"] == 40
    assert log[1:] == ["InfluxDB takes points again"]


# --- HTTP -------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The sentence of an error."""
        return str(json.loads(self.body)["message"])


def asked(
    application: Starlette, body: bytes, query: str, encoding: str = "identity", method: str = "POST",
    path: str = "/api/v2/write", more: Sequence[tuple[bytes, bytes]] = (),
) -> Answer:  # fmt: skip
    """One request to the application, in pieces of 64 KiB as a server gives them."""
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)] or [b""]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "headers": [(b"content-encoding", encoding.encode()), *more],
    }  # fmt: skip
    asyncio.run(application(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:]))


def posted(
    taken: list[tuple[Destination, list[bytes]]],
    body: bytes,
    query: str,
    encoding: str = "identity",
    *,
    waits: bool = False,
) -> Answer:
    def take(destination: Destination, lines: list[bytes]) -> bool:
        taken.append((destination, lines))
        return waits

    return asked(app.build(take, lambda: 7), body, query, encoding)


def test_it_answers_a_write_as_influxdb_does() -> None:
    taken: list[tuple[Destination, list[bytes]]] = []
    assert posted(taken, gzip.compress(b"m f=1 5\nm f=2\n"), "org=o&bucket=b", "gzip").status == 204
    assert posted(taken, b"", "org=o&bucket=b&precision=s").status == 204
    assert taken == [(Destination("o", "b", "ns"), [b"m f=1 5", b"m f=2 7"])]


@pytest.mark.parametrize("waits", [True, False])
def test_its_answer_says_whether_the_points_wait_on_the_disk(waits: bool) -> None:
    answer = posted([], b"m f=1 5", "org=o&bucket=b", waits=waits)
    assert (answer.status, app.WAITING_HEADER.lower() in {name.lower() for name in answer.headers}) == (204, waits)


@pytest.mark.parametrize(
    ("body", "query", "encoding", "status", "words"),
    [
        (b"m f=1", "org=o", "identity", 400, "the query needs org and bucket"),
        (b"m f=1", "org=o&bucket=b&precision=m", "identity", 400, "a precision of ns, us, ms or s"),
        (b"m f=1", "org=o&bucket=b", "gzip", 400, "not valid gzip"),
        (gzip.compress(b"m f=1" * 100)[:-9], "org=o&bucket=b", "gzip", 400, "ends early"),
        (b"m f=1", "org=o&bucket=b", "br", 400, "'br' is not gzip or identity"),
        (b"a" * (app.MAX_BODY_BYTES + 1), "org=o&bucket=b", "identity", 413, "send fewer points at once"),
        (gzip.compress(bytes(app.MAX_BODY_BYTES * 4)), "org=o&bucket=b", "gzip", 413, "send fewer points at once"),
    ],
    ids=["no-bucket", "precision", "no-gzip", "half-gzip", "encoding", "long", "bomb"],
)
def test_a_bad_request_gets_one_sentence(body: bytes, query: str, encoding: str, status: int, words: str) -> None:
    taken: list[tuple[Destination, list[bytes]]] = []
    answer = posted(taken, body, query, encoding)
    assert (answer.status, taken) == (status, [])
    assert words in answer.message


def test_without_room_the_writer_is_asked_to_wait() -> None:
    def full(*_: object) -> bool:
        raise Full("the waiting points have reached 5 bytes")

    answer = asked(app.build(full, lambda: 7), b"m f=1 1", "org=o&bucket=b")
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert answer.message == "the waiting points have reached 5 bytes; points wait at the writer"


@pytest.mark.parametrize("path", ["/", "/api/v2/delete", "/query", "/metrics", "/api/v2/write/x"])
def test_nothing_but_the_write_endpoint_answers(path: str) -> None:
    application = app.build(lambda *_: False, lambda: 7)
    assert asked(application, b"", "", path=path).status == 404
    assert asked(application, b"", "org=o&bucket=b", method="GET").status == 405


# --- the collector ----------------------------------------------------------------------------------


def test_the_collector_reports_what_waits_without_the_service(tmp_path: Path) -> None:
    store = opened(tmp_path, [])
    store.add(RAW, lines_of(10))
    store.add(RAW, lines_of(5))
    store.count({"refused_points": 3})
    store.close()
    now = scan(str(tmp_path))[0].time_ns + 2_000_000_000
    metric, delivery = Outbox(str(tmp_path), None, lambda: now, lambda _: None).collect()
    assert (delivery.series.measurement, delivery.series.tags) == ("delivery", {"stage": "outbox"})
    assert delivery.fields == {"stored_points": 0, "refused_points": 3, "damaged_points": 0}
    assert metric.fields == {
        "waiting_points": 15, "waiting_bytes": sum(each.size for each in scan(str(tmp_path))), "oldest_seconds": 2.0,
        "limit_bytes": 10_000_000, "reason": "", "taken_points": 15,
        "stored_points": 0, "refused_points": 3, "refused_type": 0, "refused_retention": 0, "refused_syntax": 0,
        "refused_device": 0, "damaged_points": 0, "missing_batches": 0, "held_writes": 0,
    }  # fmt: skip


def test_the_collector_counts_damaged_totals_as_an_error(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"removed": "x"}))
    errors: list[str] = []
    (metric,) = Outbox(str(tmp_path), None, lambda: 5, errors.append).collect()
    assert metric.fields == {"waiting_points": 0, "waiting_bytes": 0, "oldest_seconds": 0.0}
    assert errors == [f"{os.path.join(str(tmp_path), 'state.json')} is damaged; the totals are left out"]
