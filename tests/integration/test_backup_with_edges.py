"""Backup and restore of a hub while an edge sends numbered samples: the account of every one."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sensetig.backup.retention import Keep
from sensetig.backup.run import Places, make, restore
from sensetig.errors import BackupError
from tests.chaos.account import account, read_ledger
from tests.chaos.draws import Draw
from tests.chaos.relay import Mode
from tests.chaos.rig import Rig, programs_of, running, until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]


def _stored(rig: Rig, source: str) -> set[int]:
    rows = rig.rows(source)
    assert rows is not None
    return {int(row.number) for row in rows}


def _await_newer(rig: Rig) -> None:
    """Wait until samples of both sources have arrived that were sent after this call."""
    sent = {name: max(read_ledger(rig.ledger(name)).done) for name in rig.sources}
    until(lambda: all(max(_stored(rig, name), default=-1) > number for name, number in sent.items()), 240)


def test_an_edge_loses_only_the_data_that_a_restore_replaces(telegraf: Path, influxd: Path, tmp_path: Path) -> None:
    programs = programs_of(telegraf, influxd, tmp_path)
    settings = tmp_path / "etc"
    shutil.copytree(programs.template / "tokens", settings / "tokens")
    places = Places(settings, tmp_path / "grafana.db", tmp_path / "state.db")
    with running(Draw(1, "edge", ()), programs, tmp_path / "rig", "1s", images=False) as rig:
        url = f"http://127.0.0.1:{rig.influxd_port}"
        until(lambda: all(rig.rows(name) for name in rig.sources), 240)
        _await_newer(rig)
        before_backup = {name: _stored(rig, name) for name in rig.sources}
        made = make(
            tmp_path / "backups", url=url, places=places, host="hub", now=datetime.now(UTC), keep=Keep(), free_bytes=0
        )
        _await_newer(rig)

        damaged = tmp_path / "damaged.tar"
        content = bytearray(made.path.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        before_refusal = {name: _stored(rig, name) for name in rig.sources}
        with pytest.raises(BackupError, match="damaged"):
            restore(damaged, url=url, places=places, say=lambda _: None)
        for name, numbers in before_refusal.items():
            assert numbers <= _stored(rig, name), "a refused restore changes nothing"
        _await_newer(rig)

        # restore.yml stops the receiver, so that points wait at the edge.
        rig.relay.set(Mode("refuse"))
        before_restore = {name: _stored(rig, name) for name in rig.sources}
        restore(made.path, url=url, places=places, say=lambda _: None)
        rig.relay.set(Mode())
        _await_newer(rig)
        (rig.control / "stop").touch()
        ledgers = {name: read_ledger(rig.ledger(name)) for name in rig.sources}
        until(
            lambda: (
                not rig.waiting()
                and all(ledgers[name].done - before_restore[name] <= _stored(rig, name) for name in rig.sources)
            ),
            240,
        )
        for name in rig.sources:
            rows = rig.rows(name)
            assert rows is not None
            found = account(name, ledgers[name], rows)
            assert (found.duplicates, found.invented) == (0, 0)
            replaced = before_restore[name] - before_backup[name]
            assert replaced, "samples came between the backup and the restore"
            assert set(found.lost) <= replaced
