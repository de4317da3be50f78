"""Parts of the agent: results of collectors, Telegraf's options, and checked settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from collectors.mqtt.collect import Collected, collect, collected
from collectors.mqtt.outbox import Outbox
from collectors.mqtt.reload import (
    NotReloaded,
    Telegraf,
    check_settings,
    configuration_options,
    first_error,
    running_telegraf,
)


def script(folder: Path, body: str) -> str:
    """A program to run instead of Python."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("out", "said", "status", "failure"),
    [
        ("", "E! pi: there is nothing\nmore\n", 2, "pi: there is nothing"),
        ("", "", 3, "it has ended with status 3"),
        ("nonsense\n", "", 0, "its output is not line protocol: "),
    ],
)
def test_a_failed_collector_returns_a_sentence_and_no_points(out: str, said: str, status: int, failure: str) -> None:
    found = collected(out, said, status)
    assert found.metrics == []
    assert found.failure.startswith(failure)


def test_a_collector_returns_its_points(tmp_path: Path) -> None:
    found = asyncio.run(collect("cpu", 60.0, script(tmp_path, 'echo "cpu,name=$3 value=1 5"')))
    assert (found.failure, len(found.metrics)) == ("", 1)
    assert found.metrics[0].series.tags == {"name": "cpu"}


@pytest.mark.parametrize(
    ("body", "seconds", "failure"),
    [
        ("exec sleep 600", 0.2, "it has not ended within 0.2 s"),
        ("exec head -c 2000000 /dev/zero", 60.0, "it prints more than 1048576 bytes"),
    ],
)
def test_a_collector_that_does_not_end_or_prints_too_much_is_killed(
    tmp_path: Path, body: str, seconds: float, failure: str
) -> None:
    assert asyncio.run(collect("cpu", seconds, script(tmp_path, body))) == Collected([], failure)


def test_the_configuration_arguments_of_telegraf_are_found() -> None:
    given = [
        "--config",
        "a",
        "-config=b",
        "--config-directory",
        "d",
        "--strict-env-handling",
        "--debug",
        "--pidfile",
        "x",
    ]
    expected = ["--config", "a", "--config=b", "--config-directory", "d", "--strict-env-handling"]
    assert configuration_options(given) == expected


def test_telegraf_is_identified_by_its_executable(tmp_path: Path) -> None:
    for number, name in ((7, "telegraf"), (8, "bash")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "exe").symlink_to(f"/usr/bin/{name}")
        (folder / "cwd").symlink_to("/srv")
        (folder / "cmdline").write_bytes(b"telegraf\0--config\0a.conf\0--debug\0")
    found = running_telegraf(7, str(tmp_path))
    assert found is not None
    assert (found.pid, found.program, found.options, found.folder) == (
        7,
        "/usr/bin/telegraf",
        ("--config", "a.conf"),
        "/srv",
    )
    assert running_telegraf(8, str(tmp_path)) is None
    assert running_telegraf(9, str(tmp_path)) is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("echo '2026 I! Loading'; echo '2026 E! no such plugin'; exit 1", "is invalid: no such plugin"),
        ("echo broken; exit 1", "is invalid: broken"),
        ("exit 1", "is invalid: it printed nothing"),
    ],
)
def test_an_invalid_telegraf_configuration_is_not_reloaded(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(NotReloaded, match=says):
        asyncio.run(Telegraf(1, script(tmp_path, body), (), str(tmp_path)).check())


def test_a_configuration_is_checked_with_the_options_of_telegraf(tmp_path: Path) -> None:
    program = script(tmp_path, 'echo "$@" > asked')
    asyncio.run(Telegraf(1, program, ("--config", "a.conf"), str(tmp_path)).check())
    assert (tmp_path / "asked").read_text() == "config check --config a.conf\n"


def test_the_first_error_is_reported() -> None:
    assert first_error("a\nx E! one\ny E! two\n") == "one"


def test_the_settings_of_every_collector_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sensetig.toml"
    monkeypatch.setenv("SENSETIG_SETTINGS", str(file))
    file.write_text('[mqtt]\nfirmware = "x"\n')
    assert check_settings() > 5
    file.write_text('[mqtt]\nfirmwear = "x"\n')
    with pytest.raises(NotReloaded, match=r"line 2: \[mqtt\] firmwear is not a setting"):
        check_settings()


def test_metrics_in_the_outbox_make_its_descriptor_readable() -> None:
    import select

    outbox, written = Outbox(), list[int]()
    assert select.select([outbox.descriptor], [], [], 0)[0] == []
    for number in range(3):
        outbox.put([], lambda number=number: written.append(number))  # type: ignore[misc]
    assert select.select([outbox.descriptor], [], [], 60)[0] == [outbox.descriptor]
    for _, done in outbox.take():
        done()
    assert written == [0, 1, 2]
    assert select.select([outbox.descriptor], [], [], 0)[0] == []
    for _ in range(100_000):  # more than a pipe holds
        outbox.wake()
    outbox.close()
