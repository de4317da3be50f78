"""The lab's two machines, and the collectors in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from collectors.core.line_protocol import FieldValue, Metric
from collectors.core.line_protocol_parser import decode_lines
from tests.lab.guest import Done, Guest, Program, booted
from tests.lab.images import HERE, PROJECT, Image, write_archive

#: Where the checkout's collectors are in a machine.
CHECKOUT = "/opt/sensetig"

#: Memory of the machines. raspi3b has no other size.
GIGABYTES, PI_GIGABYTES = 3, 1

#: Size of the Raspberry Pi's card, which must be a power of two.
CARD_BYTES = 64 * 1024 * 1024

#: Requests of batches while a collector waits for its device, and their interval in seconds.
MAX_REQUESTS, REQUEST_SECONDS = 300, 2

_ENVIRONMENT = {"PYTHONPATH": CHECKOUT, "PYTHONUNBUFFERED": "1", "SENSETIG_HOST": "lab"}
_PYTHON = "/usr/bin/python3"


class Batch(NamedTuple):
    """The points of one batch of a collector.

    Args:
        points: all but the collector's own.
        own: the fields of the collector's own point.
    """

    points: list[Metric]
    own: Mapping[str, FieldValue]

    def fields(self, measurement: str, **tags: str) -> Mapping[str, FieldValue]:
        """The fields of the only point of a measurement with these tags; empty without one."""
        found = [
            point.fields
            for point in self.points
            if point.series.measurement == measurement and tags.items() <= point.series.tags.items()
        ]
        assert len(found) <= 1, found
        return found[0] if found else {}


def batch(text: str) -> Batch:
    """The batch that a collector has printed."""
    points = list(decode_lines(text))
    (own,) = (point.fields for point in points if point.series.measurement == "collector")
    return Batch([point for point in points if point.series.measurement != "collector"], own)


def once(guest: Guest, name: str, *options: str, check: bool = True) -> tuple[Batch, Done]:
    """Run one batch of a collector."""
    done = guest.run(_PYTHON, "-m", "collectors", name, *options, environ=_ENVIRONMENT, check=check)
    return batch(done.stdout), done


class Service:
    """A collector that runs as Telegraf runs it.

    Args:
        program: the running process.
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    def batch(self) -> Batch:
        """Request the next batch."""
        self.program.write("\n")
        return self.printed()

    def request_until_up(self) -> None:
        """Request batches, as Telegraf does also while a collector waits for its device, until one is up."""
        for _ in range(MAX_REQUESTS):
            self.program.write("\n")
            if self.program.seen(r"^collector,[^\n]*up=1i[^\n]*\n", timeout=REQUEST_SECONDS):
                return
        raise AssertionError(f"the collector is not up after {MAX_REQUESTS} requests")

    def printed(self) -> Batch:
        """The next batch that the collector prints by itself."""
        return batch(self.program.until(r"^collector,[^\n]*\n"))


@contextmanager
def service(guest: Guest, name: str, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[Service]:
    """A collector that runs as Telegraf runs it, until the end of the context."""
    arguments = (_PYTHON, "-m", "collectors", name, "--execd", *options)
    with guest.started(*arguments, environ={**_ENVIRONMENT, **(environ or {})}) as program:
        yield Service(program)


@contextmanager
def joystick(guest: Guest) -> Iterator[Program]:
    """The board's joystick, which exists until the end of the context."""
    guest.sh("modprobe --all evdev uinput")
    with guest.started(_PYTHON, f"{CHECKOUT}/inside/joystick.py") as program:
        program.until("created\n")
        yield program


def python(guest: Guest, program: str) -> Done:
    """Run a program in Python with the checkout's modules."""
    return guest.run(_PYTHON, "-c", program, environ=_ENVIRONMENT)


@contextmanager
def sense_hat_machine(image: Image, folder: Path) -> Iterator[Guest]:
    """The machine with the simulated board and camera; KVM if it works here, else emulated."""
    command = ("qemu-system-x86_64", "-cpu", "max", "-smp", "2", "-m", f"{GIGABYTES}G", "-nic", "none")
    # On a busy host, Linux finds no interrupt of the emulated timer in time, and panics. Under KVM, it does not check.
    parameters = "console=ttyS0 no_timer_check"
    with _booted(command, image, folder, ("kvm", "tcg,thread=multi"), parameters, "ttyS1") as guest:
        yield guest


@contextmanager
def raspberry_pi_machine(image: Image, folder: Path) -> Iterator[Guest]:
    """A Raspberry Pi 3B, emulated."""
    card = folder / "card"
    with card.open("wb") as file:
        file.truncate(CARD_BYTES)
    command = (
        "qemu-system-aarch64", "-M", "raspi3b", "-m", f"{PI_GIGABYTES}G", "-smp", "4", "-dtb", str(image.tree),
        "-drive", f"file={card},format=raw,if=sd",
    )  # fmt: skip
    with _booted(command, image, folder, ("tcg,thread=multi",), "console=ttyAMA0", "ttyS1") as guest:
        yield guest


@contextmanager
def _booted(
    command: Sequence[str], image: Image, folder: Path, accelerators: Sequence[str], parameters: str, line: str
) -> Iterator[Guest]:
    """A machine with the checkout's collectors.

    Args:
        command: QEMU with the options of this machine.
        image: its kernel and RAM disk.
        folder: takes its RAM disk and its output.
        accelerators: best first.
        parameters: of this machine's kernel, with the console.
        line: the agent's serial line.
    """
    checkout = folder / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "collectors", checkout / "collectors", ignore=ignored)
    shutil.copytree(HERE / "inside", checkout / "inside", ignore=ignored)
    with (folder / "initrd").open("wb") as archive:
        with image.initrd.open("rb") as base:
            shutil.copyfileobj(base, archive)
        write_archive(archive, checkout, prefix=CHECKOUT.lstrip("/"))
    options = (
        "-accel", "ACCELERATOR", "-display", "none", "-monitor", "none", "-no-reboot",
        "-serial", f"file:{folder / 'console.log'}",
        "-chardev", "socket,id=agent,path=AGENT", "-serial", "chardev:agent",
        "-kernel", str(image.kernel), "-initrd", str(folder / "initrd"),
        # A root of the type ramfs may take more than half of the memory. No text console belongs on the LED matrix.
        # Python finds no random numbers before /dev is mounted.
        "-append", f"{parameters} quiet panic=-1 rootfstype=ramfs fbcon=map:9 PYTHONHASHSEED=0 "
        f"rdinit={_PYTHON} -- {CHECKOUT}/inside/agent.py /dev/{line}",
    )  # fmt: skip
    with booted((*command, *options), folder, accelerators) as guest:
        yield guest
