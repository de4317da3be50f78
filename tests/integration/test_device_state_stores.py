"""What holds for every store of device state, on the real ones."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from collectors.core.api import Unavailable
from collectors.device_state import nats_kv
from collectors.device_state.nats_kv import NatsStore, Server, read_server, spell, unspell
from collectors.device_state.sqlite import SqliteStore
from collectors.device_state.store import Change, Store, StoreError
from tests.integration import nats

Open = Callable[[], Store]

#: Names of devices, ordinary and hostile.
NAMES = ["pi", "a.b", "Küche 1", "*", "sensetig/>", "'; DROP TABLE state; --", "=2E", "x" * 200]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to answer than a worker waits."""
    monkeypatch.setattr(nats_kv, "ANSWER_SECONDS", 10.0)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nats.Nats]:
    with nats.running(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture(params=["sqlite", "nats"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open one store repeatedly, as several workers would."""
    stores: list[Store] = []
    if request.param == "nats":
        server: nats.Nats = request.getfixturevalue("server")
        bucket = uuid.uuid4().hex

    def make() -> Store:
        if request.param == "sqlite":
            stores.append(SqliteStore(str(tmp_path / "state.db"), pytest.fail))
        else:
            stores.append(NatsStore(Server("127.0.0.1", server.port, False), bucket, 1, pytest.fail))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def test_a_store_that_is_new_is_empty(opened: Open) -> None:
    store = opened()
    assert (dict(store.read(["pi"])), list(store.devices())) == ({}, [])


def test_another_worker_reads_a_written_state_with_its_revision(opened: Open) -> None:
    first = opened().write([Change(name, name.encode(), None) for name in NAMES])
    other = opened()
    assert {name: (stored.document, stored.revision) for name, stored in other.read(NAMES).items()} == {
        name: (name.encode(), first[name]) for name in NAMES
    }
    assert sorted(other.devices()) == sorted(NAMES)


def test_a_write_holds_only_at_the_revision_that_was_read(opened: Open) -> None:
    one, two = opened(), opened()
    revision = one.write([Change("pi", b"1", None)])["pi"]
    newer = two.write([Change("pi", b"2", revision)])["pi"]
    assert newer > revision
    assert dict(one.write([Change("pi", b"3", revision), Change("other", b"x", None)])).keys() == {"other"}
    assert one.read(["pi"])["pi"] == (b"2", newer)


def test_of_two_that_write_a_device_for_the_first_time_one_is_first(opened: Open) -> None:
    one, two = opened(), opened()
    assert list(one.write([Change("pi", b"1", None)])) == ["pi"]
    assert dict(two.write([Change("pi", b"2", None)])) == {}
    assert two.read(["pi"])["pi"].document == b"1"


def test_a_thousand_devices_go_in_one_call(opened: Open) -> None:
    store = opened()
    names = [f"pi-{number}" for number in range(1000)]
    revisions = store.write([Change(name, b"x" * 500, None) for name in names])
    assert {name: stored.revision for name, stored in store.read([*names, "absent"]).items()} == revisions


def test_a_store_can_be_used_again_after_it_was_closed(opened: Open) -> None:
    store = opened()
    store.write([Change("pi", b"1", None)])
    store.close()
    assert store.read(["pi"])["pi"].document == b"1"


def test_a_name_and_its_key_are_one_to_one() -> None:
    assert [unspell(spell(name)) for name in NAMES] == NAMES
    assert len({spell(name) for name in NAMES}) == len(NAMES)


def sqlite(path: Path, said: list[str]) -> SqliteStore:
    return SqliteStore(str(path), said.append, busy_seconds=0.2)


def test_a_locked_file_is_reported_and_works_once_it_is_free(tmp_path: Path) -> None:
    said: list[str] = []
    store = sqlite(tmp_path / "state.db", said)
    store.write([Change("pi", b"1", None)])
    holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another program holds it"):
        store.write([Change("pi", b"2", 1)])
    holder.execute("ROLLBACK")
    holder.close()
    assert dict(store.write([Change("pi", b"2", 1)])) == {"pi": 2}
    store.close()


def test_a_worker_that_opens_a_new_file_waits_for_the_one_that_creates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (SqliteStore(str(tmp_path / "state.db"), pytest.fail) for _ in range(2))
    others: list[Future[Mapping[str, int]]] = []

    class Creating(sqlite3.Connection):
        """Holds the write lock while the other worker opens the file, as SQLite does when it switches the journal."""

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if "journal_mode" in statement and not others:
                super().execute("BEGIN IMMEDIATE")
                others.append(pool.submit(two.write, [Change("two", b"2", None)]))
                wait(others, timeout=0.5)
                super().execute("ROLLBACK")
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Creating))
    with ThreadPoolExecutor(1) as pool:
        assert dict(one.write([Change("one", b"1", None)])) == {"one": 1}
        assert dict(others[0].result(timeout=120)) == {"two": 1}
    assert sorted(one.devices()) == ["one", "two"]
    one.close()
    two.close()


def test_a_process_that_holds_the_lock_of_the_file_is_reported_after_a_bounded_wait(tmp_path: Path) -> None:
    store = sqlite(tmp_path / "state.db", [])
    with (tmp_path / "state.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"another process has held .*state\.db\.lock for 0\.2 s"):
            store.devices()
    assert dict(store.write([Change("pi", b"1", None)])) == {"pi": 1}
    store.close()


@pytest.mark.parametrize("damage", ["not a database", "middle"])
def test_a_damaged_file_is_put_aside_and_another_begun_for_all_workers(tmp_path: Path, damage: str) -> None:
    said: list[str] = []
    path = tmp_path / "state.db"
    store = sqlite(path, said)
    store.write([Change(f"pi-{number}", b"x" * 900, None) for number in range(100)])
    store.close()
    with path.open("r+b") as file:
        if damage == "middle":
            file.seek(4096)
        file.write(b"\xff" * 4096 * (1 if damage == "not a database" else 10))
    damaged = path.read_bytes()
    one, two = sqlite(path, said), sqlite(path, said)
    for each in (one, two):
        # Which worker meets the damage is left open; that none goes on with the damaged file is not.
        try:
            each.read([f"pi-{number}" for number in range(100)])
        except StoreError as error:
            assert "an empty one replaces it" in str(error)  # noqa: PT017 - whether it is raised depends on who was first
    assert [sentence for sentence in said if "put aside" in sentence] == said
    assert len(said) == 1
    assert (tmp_path / "state.db.corrupt").read_bytes() == damaged
    one.write([Change("pi", b"1", None)])
    assert two.read(["pi"])["pi"].document == b"1"
    one.close()
    two.close()


def test_a_file_removed_under_a_worker_is_recreated(tmp_path: Path) -> None:
    store = sqlite(tmp_path / "state.db", [])
    store.write([Change("pi", b"1", None)])
    for file in tmp_path.iterdir():
        file.unlink()
    assert dict(store.read(["pi"])) == {}
    store.write([Change("pi", b"2", None)])
    store.close()
    assert (tmp_path / "state.db").stat().st_size > 0


def test_a_folder_at_the_files_path_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened; its folder must be there"):
        sqlite(tmp_path, []).devices()


def test_a_file_in_the_path_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Not a directory|File exists"):
        sqlite(tmp_path / "file" / "state.db", []).devices()


#: Writes with a limit on file sizes, which SQLite reports as a full disk, and then without a limit.
_FULL = """
import resource, signal, sys
sys.path.insert(0, {root!r})
from collectors.device_state.sqlite import SqliteStore
from collectors.device_state.store import Change, StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStore(sys.argv[1], print)
store.write([Change("pi", b"1", None)])
resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))
try:
    store.write([Change(f"d{{n}}", b"x" * 4000, None) for n in range(100)])
except StoreError as error:
    print("refused:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(len(store.write([Change(f"d{{n}}", b"x" * 4000, None) for n in range(100)])), store.read(["pi"])["pi"].document)
"""


def test_a_file_that_cannot_grow_is_reported_without_partial_writes(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    program = _FULL.format(root=str(Path(__file__).parents[2]))
    ran = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "state.db"], capture_output=True, text=True, timeout=240, check=True
    )
    refused, after = ran.stdout.splitlines()
    assert refused.startswith(f"refused: the device state {tmp_path}/state.db cannot be used: ")
    assert after == "100 b'1'"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a small disk can only be mounted by root")
    command: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_reported_and_works_once_there_is_space(disk: Path) -> None:
    store = sqlite(disk / "state.db", [])
    store.write([Change("pi", b"1", None)])
    (disk / "ballast").write_bytes(b"x" * 300 * 1024)
    changes = [Change(f"d{number}", b"x" * 4000, None) for number in range(50)]
    with pytest.raises(StoreError, match="the disk is full; make room"):
        store.write(changes)
    (disk / "ballast").unlink()
    assert len(store.write(changes[:20])) == 20
    assert store.read(["pi"])["pi"].document == b"1"
    store.close()


def test_a_read_only_disk_is_reported_and_works_once_it_is_writable(disk: Path) -> None:
    store = sqlite(disk / "state.db", [])
    store.write([Change("pi", b"1", None)])
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        with pytest.raises(StoreError, match="cannot be opened; its folder must be there, and this user's to write"):
            store.write([Change("pi", b"2", 1)])
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert dict(store.write([Change("pi", b"2", 1)])) == {"pi": 2}
    store.close()


def test_a_lost_server_is_reported_and_works_when_it_is_back(tmp_path: Path) -> None:
    with nats.running(tmp_path / "nats") as server:
        store = NatsStore(Server("127.0.0.1", server.port, False), "state", 1, pytest.fail)
        revision = store.write([Change("pi", b"1", None)])["pi"]
        server.stop()
        with pytest.raises(StoreError, match=r"^the NATS server 127\.0\.0\.1:\d+ did not serve the bucket state: "):
            store.read(["pi"])
        server.start()
        deadline = time.monotonic() + 120
        while True:
            try:
                assert store.read(["pi"])["pi"] == (b"1", revision)
                break
            except StoreError:
                assert time.monotonic() < deadline, "the store did not come back"
                time.sleep(0.1)
        store.close()


def test_a_missing_server_is_reported_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    store = NatsStore(Server("127.0.0.1", 9, False), "state", 1, pytest.fail)
    start = time.monotonic()
    with pytest.raises(StoreError, match="did not serve the bucket state"):
        store.read(["pi"])
    assert time.monotonic() - start < 60
    store.close()


def test_a_user_signs_in_with_a_password_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    settings = 'authorization { user: telemetry, password: "correct horse" }'
    with nats.running(tmp_path / "nats", settings) as server:
        store = NatsStore(
            read_server(f"nats://telemetry@127.0.0.1:{server.port}", str(secret)), "state", 1, pytest.fail
        )
        assert list(store.write([Change("pi", b"1", None)])) == ["pi"]
        store.close()
        stranger = NatsStore(Server("127.0.0.1", server.port, False), "state", 1, pytest.fail)
        with pytest.raises(StoreError, match=r"(?i)authorization"):
            stranger.read(["pi"])
        stranger.close()


def test_a_server_is_spoken_to_with_tls_by_its_certificate(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 "
        f"-keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
        timeout=240,
    )
    with nats.running(tmp_path / "nats", f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}') as server:
        url = f"tls://127.0.0.1:{server.port}"
        store = NatsStore(read_server(url, ca_file=str(certificate)), "state", 1, pytest.fail)
        assert list(store.write([Change("pi", b"1", None)])) == ["pi"]
        store.close()
        doubting = NatsStore(read_server(url), "state", 1, pytest.fail)
        with pytest.raises(StoreError, match=r"(?i)certificate|does not answer"):
            doubting.read(["pi"])
        doubting.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nats://hub.example", "is not on this machine and would be spoken to unencrypted; use tls://"),
        ("tls://user:secret@hub.example", "has a password in it"),
        ("mqtt://hub.example", "must be a file, nats://HOST"),
        ("nats://127.0.0.1:port", "must be a file, nats://HOST"),
    ],
)
def test_a_url_that_will_not_do_is_refused_with_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(Unavailable, match=sentence) as caught:
        read_server(url)
    assert "secret" not in str(caught.value)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    with pytest.raises(Unavailable, match="may be read by others"):
        read_server("tls://user@hub.example", str(secret))
    with pytest.raises(Unavailable, match="may be read by others"):
        read_server("tls://hub.example", None, str(secret))
