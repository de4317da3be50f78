"""The spool between real processes, as they are run: the command line, kills, and two users."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.core.line_protocol_parser import decode_lines
from collectors.core.schema import COLLECTOR
from collectors.spool.reader import Reader
from tests.golden import ROOT

_SECONDS = 120


# --- the command line -------------------------------------------------------------------------------


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    return {**kept, "SENSETIG_SETTINGS": os.devnull, "PYTHONPATH": str(ROOT), **extra}


def start(*arguments: object, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "collectors", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**extra),
    )


def run(*arguments: object, **extra: str) -> tuple[int, str, str]:
    with start(*arguments, **extra) as process:
        out, err = process.communicate(timeout=_SECONDS)
    return process.returncode, out, err


#: A collector that has one line in each run, about itself: this tree is no Raspberry Pi.
PROBE = ("system", "--parts", "swap")


def test_any_collector_writes_to_a_spool_and_another_delivers_it(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    for _ in range(2):
        assert run(*PROBE, "--spool", folder) == (0, "", "")
    status, out, err = run("spool", folder)
    assert (status, err) == (0, "")
    metrics = list(decode_lines(out))
    assert [m.series.tags["collector"] for m in metrics if m.series.measurement == COLLECTOR.name] == [
        "spool",
        "system",
        "system",
        "spool",
    ]
    assert [m.series.measurement for m in metrics].count("swap") == 2 * len(
        [m for m in decode_lines(run(*PROBE)[1]) if m.series.measurement == "swap"]
    )
    again = next(decode_lines(run("spool", "--directory", folder)[1]))
    assert again.fields["waiting_lines"] == 0


def test_the_folder_may_come_from_the_environment_or_the_settings_file(tmp_path: Path) -> None:
    folder, file = tmp_path / "spool", tmp_path / "sensetig.toml"
    file.write_text(f'[system]\nparts = "swap"\nspool = "{folder}"\n[spool]\ndirectory = "{folder}"\n')
    assert run("system", SENSETIG_SETTINGS=str(file)) == (0, "", "")
    assert ",collector=system" in run("spool", SENSETIG_SETTINGS=str(file))[1]
    assert run(*PROBE, SENSETIG_SYSTEM_SPOOL=str(folder)) == (0, "", "")
    assert ",collector=system" in run("spool", SENSETIG_SPOOL_DIRECTORY=str(folder))[1]


def test_a_second_writer_and_a_second_reader_are_rejected_with_status_2(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with start(*PROBE, "--execd", "--spool", folder) as writer:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert wait_for(folder / "bell")
        with start("spool", "--execd", folder) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline().startswith("spool,")
            status, out, err = run(*PROBE, "--spool", folder)
            assert (status, out) == (2, "")
            assert err == (
                f"E! system: the process {writer.pid} writes to the spool {folder}; "
                "give each collector its own folder\n"
            )
            assert run("spool", folder) == (
                2,
                "",
                f"E! spool: another process reads the spool {folder}; each spool has one reader\n",
            )
            reader.communicate(timeout=_SECONDS)
        writer.communicate(timeout=_SECONDS)
    assert (writer.returncode, reader.returncode) == (0, 0)


def wait_for(path: Path) -> bool:
    """Whether the file came to be, in good time."""
    with subprocess.Popen(["sh", "-c", f'until [ -e "{path}" ]; do sleep 0.02; done']) as process:
        return process.wait(_SECONDS) == 0


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, out, err = run(*PROBE, "--spool", tmp_path / "file" / "spool")
    assert (status, out) == (2, "")
    end = "; mend that, or name another folder\n"
    assert err == f"E! system: the spool {tmp_path}/file/spool cannot be written: Not a directory{end}"
    assert run(*PROBE, "--spool", tmp_path / "file") == (
        2,
        "",
        f"E! system: the spool {tmp_path}/file cannot be written: it is not a folder{end}",
    )


def test_a_collector_that_cannot_start_leaves_no_spool_behind(tmp_path: Path) -> None:
    status, out, err = run("spool", "--directory", tmp_path / "none", "--spool", tmp_path / "spool")
    assert (status, out) == (2, "")
    assert "there is no spool in" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGKILL])
def test_lines_arrive_while_they_are_written_and_again_after_the_reader_was_ended(
    which: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    assert run(*PROBE, "--spool", folder)[0] == 0
    for expected in (2, 3):
        with start("spool", "--execd", "--redeliver-seconds", 3600, folder) as reader:
            assert reader.stdout is not None
            lines = [reader.stdout.readline() for _ in range(2)]
            assert lines[0].startswith("spool,")
            assert run(*PROBE, "--spool", folder)[0] == 0
            while len(seen := [line for line in lines if line.startswith("collector,collector=system")]) < expected:
                lines.append(reader.stdout.readline())
            reader.send_signal(which)
            reader.communicate(timeout=_SECONDS)
        assert reader.returncode == (0 if which is signal.SIGTERM else -which)
        assert len(set(seen)) == expected


# --- real processes, killed while they write; two users ---------------------------------------------

#: Appends numbered lines to a spool as fast as it can, and says each number once it has been appended.
_APPENDER = """
import os, sys, time
from collectors.spool.writer import Writer
writer = Writer(sys.argv[1], events=("event",), max_bytes=1 << 24, sync_seconds=60, complain=lambda s: None,
                timer=time.monotonic)
number = int(sys.argv[2])
while True:
    number += 1
    writer.append(b"%s number=%di %d\\n" % (b"probe" if number % 20 else b"event", number, number))
    os.write(1, b"%d\\n" % number)
"""


def test_a_writer_killed_at_any_instant_has_kept_every_line_that_it_had_appended(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    last = 0
    for round_ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", _APPENDER, str(folder), str(last)], stdout=subprocess.PIPE, env=environment()
        ) as process:
            assert process.stdout is not None
            for _ in range(1 + 97 * round_):  # these lines are certain; the kill hits during the following ones
                said = int(process.stdout.readline())
            process.kill()
            said = max([said, *map(int, process.stdout.read().split(b"\n")[:-1])])
        reader = Reader(str(folder))
        kept = []
        while lines := reader.read():
            kept += [int(line.rpartition(b" ")[2]) for line in lines]
        assert (reader.missing, reader.damaged) == (0, 0)
        assert kept == list(range(last + 1, kept[-1] + 1))
        # Reported lines are kept; at most one kept line was not reported yet.
        assert kept[-1] - said in range(2)
        last = kept[-1]
        reader.commit(reader.number)
        reader.close()
    assert last > 97 * 28


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can get to."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_user_of_the_group_delivers_the_spool_and_can_change_nothing_else_in_it(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run programs as two other users")
    camera, telegraf, stranger = 61001, 61002, 61003
    home = open_folder / "state"
    home.mkdir(mode=0o750)
    os.chown(home, camera, camera)
    folder = home / "spool"
    # Other users may have no access to the project's and this Python's folders.
    shutil.copytree(ROOT / "collectors", open_folder / "collectors", ignore=shutil.ignore_patterns("__pycache__"))
    python = sys.executable

    def as_user(user: int, groups: list[int], *arguments: object) -> tuple[int, str, str]:
        done = subprocess.run(
            [python, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(open_folder)),
            user=user,
            group=user,
            extra_groups=groups,
            umask=0o027,
            cwd="/",
            timeout=_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    try:
        as_user(camera, [], "-c", "")
    except PermissionError:
        python = "/usr/bin/python3"
        if not Path(python).exists() or as_user(camera, [], "-c", "import tomllib")[0]:
            pytest.skip("another user can run no Python of version 3.11 here")
    assert as_user(camera, [], "-m", "collectors", *PROBE, "--spool", folder) == (0, "", "")
    status, out, err = as_user(telegraf, [camera], "-m", "collectors", "spool", folder)
    assert (status, err) == (0, "")
    assert ",collector=system" in out
    assert ",collector=system" not in as_user(telegraf, [camera], "-m", "collectors", "spool", folder)[1]
    (segment,) = folder.glob("*.lines")
    for forbidden in (f"open({str(segment)!r}, 'a')", f"__import__('os').unlink({str(segment)!r})"):
        assert "PermissionError" in as_user(telegraf, [camera], "-c", forbidden)[2]
    status, out, err = as_user(stranger, [], "-m", "collectors", "spool", folder)
    assert (status, out) == (2, "")
    assert "cannot be read" in err
    assert "Permission denied" in err
