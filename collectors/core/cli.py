"""The command line of the collectors: ``python -m collectors NAME [--execd] [options]``.

Only the collector that is asked for is imported, and the list imports none: a collector that Telegraf runs at each
interval starts in the time that its own library takes.
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
    Unavailable,
    Unwritable,
)
from collectors.core.errors import ErrorReporter
from collectors.core.registry import catalogue, load
from collectors.core.runner import Runner
from collectors.core.settings import DEFAULT_FILE, Setting, SettingsError, Values, resolve, variable
from collectors.core.stdio import StdinControl, widen

if TYPE_CHECKING:
    import argparse

    from collectors.spool.writer import Writer

#: Of every collector: where its lines go. A service of its own writes to a spool, which Telegraf's collector reads.
SPOOL: Setting[str | None] = Setting(
    "spool", str, None, "Write to the spool in this folder, which `python -m collectors spool` delivers, not to stdout."
)

#: Exit status for a collector that cannot start: wrong option, setting, or missing device.
CANNOT_START = 2


#: Exit status of what lines go through, ended by a signal while its input goes on: its pipe may be taken up again.
SIGNALLED = 143


def _options(name: str, module: Module, arguments: Sequence[str]) -> dict[str, Any]:
    """What the arguments say, by option.

    Telegraf gives no option but --execd. The parser is left out then: to import and build it takes as long as
    bare Python takes to start.
    """
    if all(argument == "--execd" for argument in arguments):
        return {"execd": bool(arguments)}
    return vars(_parser(name, module).parse_args(arguments))


def _parser(name: str, module: Module) -> argparse.ArgumentParser:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            # One sentence, as for every other error, instead of the lines of usage that argparse prints.
            options = ", ".join(action.option_strings[-1] for action in self._actions if action.option_strings)
            unknown = message.removeprefix("unrecognized arguments: ")
            if unknown != message:
                message = f"there is no option {unknown.split()[0].partition('=')[0]}"
            raise SettingsError(f"{message}; the options are {options}")

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
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        if required:
            raise SettingsError(f"{path}: there is no such settings file; name another, or leave it out") from None
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: the settings cannot be read: {error}") from None


def load_settings(name: str, settings: Sequence[Setting[Any]], options: dict[str, str | None]) -> Values:
    """The settings of a collector from its options, the environment and the file. Raises SettingsError."""
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


def _write_all(descriptor: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Unwritable(f"standard output cannot be written: {error.strerror or error}") from None

    return write


#: How long the end of the process waits for its reader, in seconds; Telegraf kills what takes longer than 5.
DRAIN_SECONDS = 3.0


def _drain(descriptor: int) -> None:
    """Wait until a pipe's reader has taken all of it: Telegraf lets go of what it has not read when a process ends."""
    import fcntl
    import struct
    import termios

    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        try:
            waiting = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
        except OSError:
            return  # a file, which keeps what was written
        if not waiting:
            return
        time.sleep(0.005)


def _spool(directory: str, events: Sequence[str], report: ErrorReporter) -> Writer:
    """The spool's end that is written to, with the settings of the collector `spool`."""
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
        # A file in the folder's place is "File exists", and one on the way to it "Not a directory".
        why = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise Unavailable(
            f"the spool {directory} cannot be written: {why}; mend that, or name another folder"
        ) from None


def _complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _check_streams(*, once: bool) -> None:
    """Raise Unavailable where a standard stream is closed; its descriptor would become that of the next file."""
    if sys.stdout is None:
        raise Unavailable("standard output is closed, and the lines go there; open it")
    if sys.stdin is None and not once:
        raise Unavailable(
            "standard input is closed, and with --execd it asks for each batch; open it, or leave --execd out"
        )


def requirement(name: str) -> str:
    """What pip installs for a collector: the bundle, with the collector's extra where it has one."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        extras = metadata("sensetig").get_all("Provides-Extra") or []
    except PackageNotFoundError:  # a checkout that is run in its place
        extras = []
    return f"sensetig[{name}]" if name in extras else "sensetig"


def main(arguments: Sequence[str]) -> int:
    """Run one collector; the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        known = catalogue()
        width = max(map(len, known))
        print("usage: python -m collectors NAME [--execd] [--help]\n")
        for name, summary in known.items():
            print(f"  {name:{width}}  {summary}")
        return 0
    name, rest = arguments[0], arguments[1:]
    report = ErrorReporter(name, _complain)
    spool: Writer | None = None
    once = "--execd" not in rest
    directory: str | None = None
    try:
        if "SENSETIG_DEBUG" in os.environ:
            _debug(name)
        module = load(name)
        if module is None:
            _complain(f"E! there is no collector {name!r}; choose one of {', '.join(catalogue())}")
            return CANNOT_START
        _check_streams(once=once)
        requests = StdinControl(None if once else 0)
        try:
            values = _values(name, module, rest)
            collector = module.create(Context(values, report, once, os.uname().nodename, time.time_ns))
            directory = values[SPOOL]
        except (SettingsError, Unavailable, ImportError) as error:
            stand_in = getattr(module, "stand_in", None)
            if once or stand_in is None:
                raise
            collector = stand_in(
                lambda: _again(name, module, rest, report), report, _sentence(name, error), time.monotonic
            )
        if once and isinstance(collector, Processor):
            if sys.stdin is None:
                collector.close()
                raise Unavailable("standard input is closed, and the lines come from there; open it")
            requests.listen(0)
        if directory is not None:
            # Only now: a collector that cannot start leaves no spool behind.
            try:
                spool = _spool(directory, [each.name for each in module.MEASUREMENTS if each.event], report)
            except BaseException:
                collector.close()
                raise
    except NotApplicable:
        return 0 if once else _idle(requests)
    except (SettingsError, Unavailable, ImportError) as error:
        _complain(f"E! {name}: {_sentence(name, error)}")
        return CANNOT_START
    write = _write_all(1) if spool is None else spool.append
    if isinstance(collector, Processor) and not once:
        _tune_process(requests)
    runner = Runner(name, collector, report, write, time.time_ns, time.monotonic)
    try:
        status = runner.once(requests) if once else runner.serve(requests)
        if isinstance(collector, Processor) and not once:
            _drain(1)
            if not requests.ended:
                return SIGNALLED
        return status
    except BrokenPipeError:
        return 1  # whoever read the lines is gone; there is nobody left to tell
    except Unwritable as error:
        _complain(f"E! {name}: {error}")
        return 1
    finally:
        collector.close()
        if spool is not None:
            spool.close()


def _debug(name: str) -> None:
    """Let a debugger attach, where that is wanted of this collector."""
    from collectors.core import debug as debugging

    wanted = debugging.parse(os.environ[debugging.VARIABLE])
    if wanted.collector == name:
        debugging.listen(wanted)


def _values(name: str, module: Module, arguments: Sequence[str]) -> Values:
    options = _options(name, module, arguments)
    options.pop("execd")
    return load_settings(name, (*module.SETTINGS, SPOOL), options)


def _again(name: str, module: Module, arguments: Sequence[str], report: ErrorReporter) -> Collector | str:
    """The collector, now that its settings may have been mended; or why there still is none."""
    try:
        values = _values(name, module, arguments)
        return module.create(Context(values, report, False, os.uname().nodename, time.time_ns))
    except (SettingsError, Unavailable, ImportError) as error:
        return _sentence(name, error)


def _sentence(name: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"{error}; install what it needs: pip install '{requirement(name)}'"
    return str(error)


def _tune_process(requests: StdinControl) -> None:
    """Prepare for many lines a second: wide pipes, and a garbage collector that does not look through all that is kept
    again and again, since what a line leaves behind has no cycles."""
    import gc

    requests.peek_input()
    widen(1)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    # A thread beside may hold the interpreter for so long while lines wait.
    sys.setswitchinterval(0.001)


def _idle(requests: StdinControl) -> int:
    """Stay until Telegraf ends: it would start a collector that leaves again and again."""
    while requests.next():
        pass
    return 0
