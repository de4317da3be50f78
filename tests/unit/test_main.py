"""``python -m collectors``, run as Telegraf runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

import collectors
from collectors.core.errors import requirement
from collectors.core.line_protocol_parser import decode_lines
from collectors.core.registry import LIBRARIES, catalogue, load
from tests.golden import ROOT

PROBE = Path(__file__).parent / "probe"

#: Runs the collectors with one more among them, which the tests bring along. They report about themselves at the end
#: alone, however long a busy machine takes.
_WITH_PROBE = (
    "import collectors, sys; collectors.__path__.append(sys.argv[1]); "
    "from collectors.core import runner; runner.REPORT_SECONDS = 3600.0; "
    "from collectors.__main__ import main; sys.exit(main(sys.argv[2:]))"
)
#: The same, with attempts that follow each other sooner.
_SOONER = "from collectors.core import retry; retry.FIRST_SECONDS = retry.MAX_SECONDS = 0.01; "
_SECONDS = 120


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    return {**kept, "SENSETIG_SETTINGS": os.devnull, "PYTHONPATH": str(ROOT), **extra}


def start(
    *arguments: str, stdin: int | None = subprocess.PIPE, stdout: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _WITH_PROBE, str(PROBE), *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(),
    )


def run(*arguments: str, given: str = "", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WITH_PROBE, str(PROBE), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=environment(**(env or {})),
        check=False,
    )


def numbers(out: str) -> list[object]:
    return [metric.fields["number"] for metric in decode_lines(out) if metric.series.measurement == "probe"]


def reports(out: str) -> list[object]:
    return [metric.fields["up"] for metric in decode_lines(out) if metric.series.measurement == "collector"]


# --- the list ---------------------------------------------------------------------------------------


def test_without_a_name_every_collector_is_listed_with_its_line_of_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "collectors"], capture_output=True, text=True, timeout=_SECONDS, check=True, cwd=ROOT
    )
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert dict((name, summary) for name, summary in lines) == catalogue()  # noqa: C402 - pairs of unknown length
    assert all(summary.strip() for summary in catalogue().values())


def test_the_list_imports_no_collector() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "collectors", "--help"],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
        cwd=ROOT,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "collectors.core.settings" in imported
    assert not imported & {f"collectors.{name}" for name in catalogue()}


@pytest.mark.parametrize("name", ["weather", "metric", "runner", "../pi", "pi.board", "__main__", "-x", ""])
def test_an_unknown_collector_is_rejected_with_the_choices(name: str) -> None:
    done = run(name)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"E! there is no collector {name!r}; choose one of ")
    assert "pi" in done.stderr


# --- one batch --------------------------------------------------------------------------------------


def test_once_gives_one_batch_and_closes_the_collector() -> None:
    done = run("probe", "--count", "2")
    assert (done.returncode, numbers(done.stdout), reports(done.stdout)) == (0, [1, 2], [1])
    assert done.stderr == "closed\n"


def test_a_failed_batch_is_logged_and_sets_the_exit_status() -> None:
    done = run("probe", "--mode", "failing")
    assert (done.returncode, numbers(done.stdout), reports(done.stdout)) == (1, [1], [0])
    assert done.stderr == "E! probe: OSError: the device is gone\nclosed\n"


def test_a_rejected_reading_is_logged_without_a_failure() -> None:
    done = run("probe", "--mode", "refusing")
    assert (done.returncode, reports(done.stdout)) == (0, [1])
    assert done.stderr == "E! probe: the reading 0 is no data\nclosed\n"


def test_a_collector_that_cannot_start_says_why_and_ends_with_2() -> None:
    done = run("probe", "--mode", "unavailable")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "E! probe: there is no device; plug one in\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--mode", "unavailable"), "there is no device; plug one in"),
        (("--mode", "crashing"), "RuntimeError: the driver has no such register"),
        (("--count", "ten"), "--count is 'ten'; it must be a whole number from 1 to 9"),
        (("--cuont", "1"), "there is no option --cuont"),
        (("--mode", "lacking"), "No module named 'a_library_that_is_not_installed'"),
    ],
)
def test_under_telegraf_it_stays_says_why_once_and_reports_that_it_is_down(
    arguments: tuple[str, ...], reason: str
) -> None:
    """Telegraf would start a process that ends again every few seconds, with several lines in its log."""
    with start("probe", "--execd", *arguments) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        for _ in range(3):
            process.stdin.write(b"\n")
            process.stdin.flush()
            lines.append(process.stdout.readline())
        assert process.poll() is None
        out, err = process.communicate(timeout=_SECONDS)
    assert (process.returncode, out) == (0, b"")
    assert err.decode().count("\n") == 1
    assert err.decode().startswith(f"E! probe: {reason}")
    found = [dict(metric.fields) for metric in decode_lines(b"".join(lines).decode())]
    assert len(found) == 4
    for fields in found:
        assert (fields["up"], fields["errors"], fields["samples"]) == (0, 1, 0)
        assert str(fields["reason"]).startswith(reason)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_collector_that_cannot_start_ends_with_a_signal(number: signal.Signals) -> None:
    with start("probe", "--execd", "--mode", "unavailable") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        out, _ = process.communicate(timeout=_SECONDS)
    assert (process.returncode, out) == (0, b"")


def test_a_library_that_is_installed_later_is_found_at_the_next_attempt(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SOONER + _WITH_PROBE, str(PROBE), "probe", "--execd", "--mode", "lacking"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}"),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert reports(process.stdout.readline().decode()) == [0]
        (tmp_path / "a_library_that_is_not_installed.py").touch()
        found: list[object] = []
        while not found:
            process.stdin.write(b"\n")
            process.stdin.flush()
            found = numbers(process.stdout.readline().decode())
        _, err = process.communicate(timeout=_SECONDS)
    assert process.returncode == 0
    assert err.count(b"E! probe: ") == 1


def test_a_missing_library_is_named_with_what_brings_it() -> None:
    done = run("probe", "--mode", "lacking")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a_library_that_is_not_installed" in done.stderr
    assert "pip install 'sensetig'" in done.stderr, "there is no extra of that name"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", catalogue())
def test_an_extra_is_named_only_if_there_is_one(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert requirement(name) == (f"sensetig[{name}]" if name in extras else "sensetig")


def test_nothing_to_read_is_one_line_of_information_and_no_error() -> None:
    done = run("probe", "--mode", "not_applicable")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "I! probe: nothing to read: this machine has no probe\n"


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("pi", {"SENSETIG_PI_SYS_ROOT": "/no/such"}, "this machine is not a Raspberry Pi, since there is no /no/such/"),
        ("joystick", {"SENSETIG_JOYSTICK_SYS_ROOT": "/no/such"}, "no Sense HAT was found in /no/such; "),
        ("mqtt", {}, "no broker is set; name one in the setting url or in SENSETIG_MQTT_URL"),
        ("vision", {}, "neither a broker nor pictures are set; "),
    ],
)
def test_a_collector_without_a_source_names_it(name: str, settings: dict[str, str], reason: str) -> None:
    done = run(name, env=settings)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"I! {name}: nothing to read: {reason}")
    assert done.stderr.count("\n") == 1


# --- batch after batch ------------------------------------------------------------------------------


def test_each_line_gets_a_batch_also_when_several_come_at_once() -> None:
    done = run("probe", "--execd", given="\n\n\n")
    assert (done.returncode, numbers(done.stdout), reports(done.stdout)) == (0, [1, 2, 3], [1, 1, 1])
    assert done.stderr == "closed\n"


def test_a_failed_batch_does_not_end_it_and_is_logged_once_until_it_clears() -> None:
    done = run("probe", "--execd", "--mode", "failing", given="\n\n\n")
    assert (done.returncode, reports(done.stdout)) == (0, [0, 1, 0])
    assert done.stderr == "E! probe: OSError: the device is gone\n" * 2 + "closed\n"


def test_each_batch_is_out_before_the_next_is_asked_for() -> None:
    with start("probe", "--execd") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in (1, 2):
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert numbers(process.stdout.readline().decode()) == [number]
            assert reports(process.stdout.readline().decode()) == [1]
        process.communicate(timeout=_SECONDS)
        assert process.returncode == 0


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("mode", ["steady", "streaming"])
def test_a_signal_ends_it_cleanly(which: signal.Signals, mode: str) -> None:
    with start("probe", "--execd", "--mode", mode) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert numbers(process.stdout.readline().decode()) == [1]
        process.send_signal(which)
        _, err = process.communicate(timeout=_SECONDS)
    assert (process.returncode, err) == (0, b"closed\n")


def test_events_come_without_being_asked_for_and_end_with_the_input() -> None:
    with start("probe", "--execd", "--mode", "streaming") as process:
        assert process.stdout is not None
        first = process.stdout.readline() + process.stdout.readline()
        out, err = process.communicate(timeout=_SECONDS)
    assert numbers(first.decode()) == [1]
    assert reports((first + out).decode()) == [1, 1]
    assert (process.returncode, err) == (0, b"closed\n")


def test_a_stream_whose_source_is_lost_stays_and_reports_that_it_is_down() -> None:
    done = run("probe", "--execd", "--mode", "breaking")
    assert (done.returncode, reports(done.stdout)) == (0, [1, 0])
    assert done.stderr == "E! probe: OSError: the source is gone\nclosed\n"


def test_a_stream_whose_source_is_lost_ends_with_1_where_systemd_starts_it_again() -> None:
    done = run("probe", "--mode", "breaking")
    assert (done.returncode, reports(done.stdout)) == (1, [1, 0])
    assert done.stderr == "E! probe: OSError: the source is gone\nclosed\n"


def test_with_nothing_to_read_it_runs_until_its_input_ends() -> None:
    with start("probe", "--execd", "--mode", "not_applicable") as process:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        out, err = process.communicate(timeout=_SECONDS)
    assert (process.returncode, out) == (0, b"")
    assert err == b"I! probe: nothing to read: this machine has no probe\n"


@pytest.mark.parametrize("execd", [(), ("--execd",)])
def test_a_reader_that_is_gone_ends_it_without_a_word(execd: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = start("probe", *execd, stdout=writing)
    finally:
        os.close(writing)
    _, err = process.communicate(b"\n", timeout=_SECONDS)
    assert (process.returncode, err) == (1, b"closed\n")


@pytest.mark.parametrize("execd", [(), ("--execd",)])
@pytest.mark.parametrize("mode", ["steady", "streaming"])
def test_an_output_that_takes_nothing_is_one_sentence(mode: str, execd: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        process = start("probe", "--mode", mode, *execd, stdout=full.fileno())
    _, err = process.communicate(b"\n", timeout=_SECONDS)
    assert process.returncode == 1
    assert err == b"E! probe: standard output cannot be written: No space left on device\nclosed\n"


@pytest.mark.parametrize(
    ("closed", "execd", "said"),
    [
        (">&-", (), b"standard output is closed, and the lines go there; open it"),
        (">&-", ("--execd",), b"standard output is closed, and the lines go there; open it"),
        (
            "<&-",
            ("--execd",),
            b"standard input is closed, and with --execd it asks for each batch; open it, or leave --execd out",
        ),
    ],
)
def test_a_stream_that_is_closed_is_one_sentence(closed: str, execd: tuple[str, ...], said: bytes) -> None:
    command = [sys.executable, "-c", _WITH_PROBE, str(PROBE), "probe", *execd]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command],
        input=b"\n",
        capture_output=True,
        timeout=_SECONDS,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"E! probe: " + said + b"\n")


def test_one_batch_needs_no_input() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-c", _WITH_PROBE, str(PROBE), "probe"],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=environment(),
        check=False,
    )
    assert (done.returncode, numbers(done.stdout)) == (0, [1])


# --- settings ---------------------------------------------------------------------------------------


def test_an_option_prevails_over_the_variable() -> None:
    env = {"SENSETIG_PROBE_COUNT": "3"}
    assert numbers(run("probe", env=env).stdout) == [1, 2, 3]
    assert numbers(run("probe", "--count", "2", env=env).stdout) == [1, 2]


def test_an_invalid_option_is_named_with_the_expected_value() -> None:
    done = run("probe", "--count", "10")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "E! probe: --count is '10'; it must be a whole number from 1 to 9\n"


def test_an_unknown_option_is_refused() -> None:
    done = run("probe", "--cuont", "10")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "E! probe: there is no option --cuont; the options are --help, --execd, --settings, --mode, --count, --spool\n"
    )


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--cuont=10", "there is no option --cuont"),
        ("stray", "there is no option stray"),
        ("--count", "argument --count: expected one argument"),
        ("--execd=3", "argument --execd: ignored explicit argument '3'"),
    ],
)
def test_wrong_words_are_one_sentence_with_the_options_there_are(argument: str, said: str) -> None:
    done = run("probe", argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"E! probe: {said}; the options are --help, --execd, --settings, --mode, --count, --spool\n"


def test_help_shows_each_setting_with_its_variable_and_default() -> None:
    done = run("probe", "--help")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert "A whole number from 1 to 9 [SENSETIG_PROBE_COUNT; 1]" in said
    assert "100 % of them new." in said


def test_the_settings_file_is_read_and_a_wrong_value_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "sensetig.toml"
    file.write_text('[pi]\nfirmware_interval = "often"\n')
    for arguments, env in ((("--settings", str(file)), {}), ((), {"SENSETIG_SETTINGS": str(file)})):
        done = run("pi", *arguments, env=env)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"E! pi: {file}, line 2: [pi] firmware_interval is 'often'; it must be a number from 0 to 86400\n"
        )


def test_a_settings_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    done = run("pi", "--settings", str(tmp_path / "none.toml"))
    assert done.returncode == 2
    assert (
        done.stderr == f"E! pi: {tmp_path}/none.toml: there is no such settings file; name another, or leave it out\n"
    )


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_settings_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "sensetig.toml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    done = run("pi", "--settings", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"E! pi: {file}: the settings cannot be read: ")
    assert "Traceback" not in done.stderr


def test_an_unknown_section_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "sensetig.toml"
    file.write_text("[sensehta]\n")
    done = run("pi", "--settings", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"E! pi: {file}, line 1: unknown section [sensehta]; there are ")


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_settings_file_may_begin_with_a_byte_order_mark(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "sensetig.toml"
    file.write_bytes(mark + b'[joystick]\nbackend = "simulated"\n')
    done = run("joystick", "--settings", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert tag_of(done.stdout, "joystick", "simulated") == {"true"}


def test_wrong_settings_of_a_collector_that_reads_none_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "sensetig.toml"
    file.write_text("[clock]\nspool = 5\n")
    done = run("clock", "--settings", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"E! clock: {file}, line 2: [clock] spool is 5; it must be a text\n"


# --- the name of the machine ------------------------------------------------------------------------


def tag_of(out: str, measurement: str, tag: str) -> set[str]:
    return {metric.series.tags[tag] for metric in decode_lines(out) if metric.series.measurement == measurement}


@pytest.mark.parametrize(
    ("name", "options", "measurement"),
    [
        ("joystick", ("--backend", "simulated"), "joystick"),
        ("sensehat", ("--backend", "simulated"), "environment"),
        ("random_data", ("--output", "telegraf"), "random_data"),
    ],
)
def test_the_variable_for_the_host_names_the_device_too(name: str, options: tuple[str, ...], measurement: str) -> None:
    assert tag_of(run(name, *options).stdout, measurement, "device") == {os.uname().nodename}
    assert tag_of(run(name, *options, env={"SENSETIG_HOST": ""}).stdout, measurement, "device") == {os.uname().nodename}
    assert tag_of(run(name, *options, env={"SENSETIG_HOST": "loft"}).stdout, measurement, "device") == {"loft"}


# --- text for people --------------------------------------------------------------------------------

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
TEXTS = [(), ("--help",), ("camera", "--help"), ("no-such-ö",), ("system", "--parts", "ö")]


@pytest.mark.parametrize("arguments", TEXTS)
def test_a_terminal_without_utf_8_gets_the_text(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "collectors", *arguments],
        capture_output=True,
        env=environment(**ASCII),
        cwd=ROOT,
        timeout=_SECONDS,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert (done.returncode == 0) == (arguments in TEXTS[:3])
    (done.stdout + done.stderr).decode("ascii")
    assert done.stdout + done.stderr


@pytest.mark.parametrize("arguments", TEXTS[:3])
def test_a_full_disk_for_help_is_one_sentence(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "collectors", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=ROOT,
            timeout=_SECONDS,
            check=False,
        )
    assert done.returncode == 1
    name = arguments[0] if arguments[:1] == ("camera",) else "collectors"
    assert done.stderr.decode() == f"E! {name}: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_a_log_that_cannot_be_written_stops_no_reading_and_reaches_no_output(redirection: str) -> None:
    command = [sys.executable, "-m", "collectors", "system", "--execd", "--proc-root", str(ROOT / "docs")]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        input=b"\n\n",
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0
    found = list(decode_lines(done.stdout.decode()))
    errors = [metric.fields["errors"] for metric in found if metric.series.measurement == "collector"]
    assert len(errors) == 2
    assert all(isinstance(each, int) and each > 0 for each in errors)


# --- modules that are not collectors -----------------------------------------------------------------


def test_a_module_that_declares_nothing_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "stray.py").write_text('"""A library that lies among the collectors."""\n\nSETTINGS = ()\n')
    done = subprocess.run(
        [sys.executable, "-c", _WITH_PROBE, str(tmp_path), "stray"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"E! stray: {tmp_path}/stray.py is not a collector: it does not define MEASUREMENTS, create; add that, or "
        "move a library into collectors/core or a collector's own package\n"
    )


@pytest.mark.parametrize("name", catalogue())
def test_every_module_except_libraries_is_a_collector(name: str) -> None:
    module = load(name)
    assert module is not None
    assert callable(module.create)


def test_the_libraries_are_no_collectors_and_are_there() -> None:
    folder = Path(collectors.__file__).parent
    for name in LIBRARIES:
        assert (folder / name / "__init__.py").is_file(), "a name that has gone belongs out of the list"
        assert load(name) is None
        assert name not in catalogue()
