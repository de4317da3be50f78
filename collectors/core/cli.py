"""The command line of the collectors: ``python -m collectors NAME [--execd] [options]``.

Only the requested collector is imported, and the list imports none: a collector that Telegraf runs at each interval
starts as fast as its own library allows.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from collectors.core.api import (
    Collector,
    Context,
    Module,
    NotApplicable,
    Processor,
    Streaming,
    Unavailable,
    Unwritable,
)
from collectors.core.errors import ErrorReporter, start_error
from collectors.core.registry import catalogue, load
from collectors.core.runner import Runner, down, sentence
from collectors.core.settings import DEFAULT_FILE, Setting, SettingsError, Values, resolve, variable
from collectors.core.stdio import StdinControl, widen, write_all

if TYPE_CHECKING:
    import argparse

    from collectors.core.watchdog import Watchdog
    from collectors.spool.writer import Writer

#: A setting of every collector: the destination of its lines. A service with its own unit writes to a spool.
SPOOL: Setting[str | None] = Setting(
    "spool", str, None, "Write to the spool in this folder, which `python -m collectors spool` delivers, not to stdout."
)

#: The tag ``host`` of this machine's points, for Telegraf and for every collector; the default is the host name.
HOST_VARIABLE = "SENSETIG_HOST"

#: Exit status of a collector that cannot start: wrong option, wrong setting or missing device.
CANNOT_START = 2

#: Exit status of a collector that hung.
HUNG = 70

#: Exit status of a processor that a signal ended before its input did: another process may take over its pipe.
SIGNALLED = 143


def _options(name: str, module: Module, arguments: Sequence[str]) -> dict[str, Any]:
    """The value of each option.

    Telegraf passes no option but --execd, which needs no parser: importing and building one takes as long as starting
    Python.
    """
    if all(argument == "--execd" for argument in arguments):
        return {"execd": bool(arguments)}
    return vars(_parser(name, module).parse_args(arguments))


def _parser(name: str, module: Module) -> argparse.ArgumentParser:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            # One sentence, like every other error, instead of argparse's usage message.
            options = ", ".join(action.option_strings[-1] for action in self._actions if action.option_strings)
            unknown = message.removeprefix("unrecognized arguments: ")
            if unknown != message:
                message = f"there is no option {unknown.split()[0].partition('=')[0]}"
            raise SettingsError(f"{message}; the options are {options}")

        def print_help(self, file: object = None) -> None:
            del file
            _show(self.format_help())

    parser = Parser(
        prog=f"python -m collectors {name}",
        description=module.__doc__ or "",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--execd", action="store_true", help="one batch for each line on standard input, until it ends")
    parser.add_argument("--settings", metavar="FILE", help=f"settings file [SENSETIG_SETTINGS; {DEFAULT_FILE}]")
    for setting in (*module.SETTINGS, SPOOL):
        if setting.positional:
            parser.add_argument(setting.name, nargs="?", default=argparse.SUPPRESS, metavar=setting.name.upper())
        default = "" if setting.default is None else f"; {setting.default}"
        parser.add_argument(
            "--" + setting.name.replace("_", "-"),
            dest=setting.name,
            metavar=setting.kind.__name__.upper(),
            help=f"{setting.help} {setting.expected.capitalize()} [{variable(name, setting)}{default}]".replace(
                "%", "%%"
            ),
        )
    return parser


def _read_settings(path: str, *, required: bool) -> str | None:
    try:
        with open(path, "rb") as file:
            # Some editors start a file with a byte order mark. The codec for it would take longer to import.
            return file.read().removeprefix(b"\xef\xbb\xbf").decode()
    except FileNotFoundError:
        if required:
            raise SettingsError(f"{path}: there is no such settings file; name another, or leave it out") from None
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: the settings cannot be read: {error}") from None


def load_settings(name: str, settings: Sequence[Setting[Any]], options: dict[str, str | None]) -> Values:
    """The settings of a collector from its options, the environment and the settings file. Raises SettingsError."""
    given = options.pop("settings", None) or os.environ.get("SENSETIG_SETTINGS")
    path = given or DEFAULT_FILE
    text = _read_settings(path, required=given is not None)
    return resolve(
        name,
        settings,
        file=path,
        text=text,
        sections=tuple(catalogue()) if text is not None else (),
        environ=os.environ,
        options=options,
    )


#: Seconds that the process waits for its reader before it ends; Telegraf kills it after 5.
DRAIN_SECONDS = 3.0


def _drain(descriptor: int) -> None:
    """Wait until a pipe has been read completely: Telegraf discards unread lines when a process ends."""
    import fcntl
    import struct
    import termios

    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        try:
            waiting = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
        except OSError:
            return  # a file, which keeps all lines
        if not waiting:
            return
        time.sleep(0.005)


def _spool(directory: str, events: Sequence[str], report: ErrorReporter) -> Writer:
    """The writing side of a spool, with the settings of the collector `spool`."""
    from collectors import spool
    from collectors.spool.folder import Busy
    from collectors.spool.writer import Writer

    values = load_settings("spool", spool.SETTINGS, {})
    try:
        return Writer(
            directory,
            events=events,
            max_bytes=values[spool.MAX_BYTES],
            sync_seconds=values[spool.SYNC_SECONDS],
            complain=report.error,
            timer=time.monotonic,
        )
    except Busy as error:
        raise Unavailable(str(error)) from None
    except OSError as error:
        # A file instead of the folder is "File exists", and one among its parents "Not a directory".
        why = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise Unavailable(
            f"the spool {directory} cannot be written: {why}; mend that, or name another folder"
        ) from None


def _complain(line: str) -> None:
    """Log a line.

    If the log cannot be written, for example on a full disk, reading continues: errors are counted as well.
    """
    if sys.stderr is None:
        return
    try:
        os.write(2, f"{line}\n".encode(sys.stderr.encoding, "backslashreplace"))
    except OSError:
        return


def _show(text: str) -> None:
    """Print a text for people, even on a terminal that lacks some of its characters. Raises Unwritable."""
    if sys.stdout is None:
        raise Unwritable("standard output is closed; open it")
    write_all(1)(f"{text.rstrip()}\n".encode(sys.stdout.encoding, "replace"))


def _check_streams(*, once: bool) -> None:
    """Raise Unavailable if a standard stream is closed; the next opened file would get its descriptor."""
    if sys.stdout is None:
        raise Unavailable("standard output is closed, and the lines go there; open it")
    if sys.stdin is None and not once:
        raise Unavailable(
            "standard input is closed, and with --execd it asks for each batch; open it, or leave --execd out"
        )


def main(arguments: Sequence[str]) -> int:
    """Run one collector, or list them; return the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        name, run = "collectors", _list
    else:
        name, run = arguments[0], lambda: _run(arguments[0], arguments[1:])
    try:
        return run()
    except BrokenPipeError:
        return 1  # there is no reader for the lines, nor for any message
    except Unwritable as error:
        _complain(f"E! {name}: {error}")
        return 1


def _list() -> int:
    known = catalogue()
    width = max(map(len, known))
    lines = [f"  {name:{width}}  {summary}" for name, summary in known.items()]
    _show("\n".join(("usage: python -m collectors NAME [--execd] [--help]", "", *lines)))
    return 0


def _run(name: str, rest: Sequence[str]) -> int:
    report = ErrorReporter(name, _complain)
    once = "--execd" not in rest
    try:
        if "SENSETIG_DEBUG" in os.environ:
            _debug(name)
        _check_streams(once=once)
    except (SettingsError, Unavailable, ImportError) as error:
        _complain(f"E! {name}: {start_error(name, error)}")
        return CANNOT_START
    requests = StdinControl(None if once else 0)
    attempt = _Attempt(name, rest, report, requests, once=once)
    status = attempt.run()
    if not once and attempt.reason:
        status = _again(attempt, requests)
    return status


class _Attempt:
    """Starts a collector, and runs it.

    Attributes:
        reason: why the last run failed, if it can be retried; else empty.
    """

    def __init__(
        self,
        name: str,
        rest: Sequence[str],
        report: ErrorReporter,
        requests: StdinControl,
        *,
        once: bool,
    ) -> None:
        self._name = name
        self._rest = rest
        self._report = report
        self._requests = requests
        self._once = once
        self._watchdog: Watchdog | None = None
        self._hang_metric: Callable[[], bytes] = bytes
        self.reason = ""

    def run(self) -> int:
        """Run once; return the exit status."""
        self.reason = ""
        try:
            collector, spool = self._open()
        except NotApplicable as reason:
            _complain(f"I! {self._name}: nothing to read: {reason}")
            return 0 if self._once else _idle(self._requests)
        except _Final as error:
            _complain(f"E! {error}")
            return CANNOT_START
        except (SettingsError, Unavailable, ImportError) as error:
            self.reason = start_error(self._name, error)
        except Exception as error:
            if self._once:
                raise
            self.reason = sentence(error)
        else:
            return self._serve(collector, spool)
        if self._once:
            _complain(f"E! {self._name}: {self.reason}")
        else:
            self.report()
        return CANNOT_START

    def report(self) -> None:
        """Report the collector as down."""
        write_all(1)(down(self._name, self._report, self.reason, time.time_ns()))

    def _hung(self) -> bytes:
        return self._hang_metric()

    def _open(self) -> tuple[Collector, Writer | None]:
        """Create the collector, and its spool if its lines do not go to standard output.

        Raises NotApplicable, SettingsError, Unavailable, ImportError, or an exception of a driver.
        """
        name, once = self._name, self._once
        module = load(name)
        if module is None:
            raise _Final(f"there is no collector {name!r}; choose one of {', '.join(catalogue())}")
        values = Values(load=lambda: _values(name, module, self._rest))
        host = os.environ.get(HOST_VARIABLE) or os.uname().nodename
        collector = module.create(Context(values, self._report, once, host, time.time_ns))
        processor = collector if isinstance(collector, Processor) else None
        try:
            if once and processor is not None:
                if sys.stdin is None:
                    raise Unavailable("standard input is closed, and the lines come from there; open it")
                self._requests.listen(0)
            # A degraded processor passes lines to standard output, because its settings may be invalid.
            directory = values[SPOOL] if processor is None or processor.up else None
            if directory is None:
                return collector, None
            # Only now, so that a collector that cannot start creates no spool.
            events = [each.name for each in module.MEASUREMENTS if each.event]
            return collector, _spool(directory, events, self._report)
        except (SettingsError, Unavailable) as error:
            collector.close()
            if processor is not None:
                # The lines that it would wait with belong to others.
                raise _Final(f"{name}: {start_error(name, error)}") from None
            raise
        except BaseException:
            collector.close()
            raise

    def _serve(self, collector: Collector, spool: Writer | None) -> int:
        requests, once = self._requests, self._once
        write = write_all(1) if spool is None else spool.append
        processor = isinstance(collector, Processor)
        try:
            if processor and not once:
                _tune_process(requests)
            if not once and self._watchdog is None:
                self._watchdog = _watchdog(collector, self._report, self._hung, spooled=spool is not None)
                self._watchdog.start()
            runner = Runner(self._name, collector, self._report, write, time.time_ns, time.monotonic, self._watchdog)
            self._hang_metric = runner.hung
            status = runner.once(requests) if once else runner.serve(requests)
            if processor and not once:
                _drain(1)
                if not requests.ended:
                    return SIGNALLED
            if status and not processor:
                self.reason = runner.reason
            return status
        except Unwritable as error:
            _complain(f"E! {self._name}: {error}")
            return 1
        finally:
            collector.close()
            if spool is not None:
                spool.close()


class _Final(Exception):
    """A collector cannot start, and a retry is pointless; the message is the log line."""


def _again(attempt: _Attempt, requests: StdinControl) -> int:
    """Retry a failing collector until it ends without an error; return the exit status."""
    import importlib

    from collectors.core.retry import Backoff, stand_by

    backoff = Backoff(time.monotonic)
    status = CANNOT_START
    while attempt.reason:
        if stand_by(requests, backoff.next(), attempt.report, time.monotonic):
            return 0
        importlib.invalidate_caches()  # a missing library may have been installed
        backoff.start()
        status = attempt.run()
    return status


def _watchdog(collector: Collector, report: ErrorReporter, metric: Callable[[], bytes], *, spooled: bool) -> Watchdog:
    """A watchdog that ends this process if its collector hangs, after a log line and a metric."""
    # Imported here, because a one-shot collector does not need it: Telegraf kills one that takes too long.
    from collectors.core.watchdog import HANG_SECONDS, STREAM_HANG_SECONDS, Watchdog

    seconds = STREAM_HANG_SECONDS if isinstance(collector, Streaming) else HANG_SECONDS

    def end(place: str) -> None:
        try:
            report.error(f"the collector hangs for more than {seconds:.0f} s in {place}; it is restarted")
            if not spooled:
                write_all(1)(metric())
        finally:
            os._exit(HUNG)

    return Watchdog(seconds, end)


def _debug(name: str) -> None:
    """Let a debugger attach if SENSETIG_DEBUG names this collector."""
    from collectors.core import debug as debugging

    wanted = debugging.parse(os.environ[debugging.VARIABLE])
    if wanted.collector == name:
        debugging.listen(wanted)


def _values(name: str, module: Module, arguments: Sequence[str]) -> Values:
    options = _options(name, module, arguments)
    options.pop("execd")
    return load_settings(name, (*module.SETTINGS, SPOOL), options)


def _tune_process(requests: StdinControl) -> None:
    """Tune the process for many lines a second: wide pipes, and rare garbage collections, as lines form no cycles."""
    import gc

    requests.peek_input()
    widen(1)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    # Maximum time that another thread may hold the interpreter while lines wait, in seconds.
    sys.setswitchinterval(0.001)


def _idle(requests: StdinControl) -> int:
    """Stay until Telegraf ends, because it restarts a collector that exits."""
    while requests.next():
        pass
    return 0
