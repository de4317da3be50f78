"""Machines: each is a Debian root under an overlay, booted with systemd in a network namespace.

All are attached to one bridge, which gives ssh access from this machine and connects them to each other; none can reach
the internet. Their files are written to the run's folder, and are deleted with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.e2e.roots import Root, cache

#: How many runs can have a network on one machine at once.
NETWORKS = 8

#: The account that the playbook comes in by, as on a Pi.
USER = "pi"

#: Telegraf keeps secrets in locked memory and a collector reads the state of the clock, as every machine allows.
FILTER = "--system-call-filter=@memlock adjtimex clock_adjtime"

_START_SECONDS, _STOP_SECONDS = 90, 30


class NotReady(Exception):
    """A machine does not answer yet."""


class Network(NamedTuple):
    """The network of one run.

    Args:
        number: distinguishes it from the networks of other runs.
    """

    number: int

    @property
    def bridge(self) -> str:
        """The bridge's name."""
        return f"sensetig-e2e{self.number}"

    @property
    def here(self) -> str:
        """This machine, as the others see it."""
        return self.address(1)

    def address(self, host: int) -> str:
        """The address of the machine with that number."""
        return f"10.177.{self.number}.{host}"

    def namespace(self, name: str) -> str:
        """The network namespace of the machine with that name."""
        return f"{self.bridge}-{name}"

    def link(self, name: str) -> str:
        """The end of that machine's cable on this side; Linux allows fifteen characters."""
        return f"e2e{self.number}-{name}"[:15]


class Machine:
    """One machine, running or not.

    Args:
        name: its host name.
        address: in the run's network.
        system: the merged file system.
        run: folder of the run: keys and logs.
        namespace: the network namespace that it is in.
    """

    def __init__(self, name: str, address: str, system: Path, run: Path, namespace: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self.system = system
        self.run = run
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ssh_options(self) -> tuple[str, ...]:
        """How ssh gets in: with the run's key, to a host that is known."""
        return (
            "-i", str(self.run / "key"),
            "-o", f"UserKnownHostsFile={self.run / 'known_hosts'}",
            "-o", "BatchMode=yes",
            "-o", "ConnectTimeout=5",
        )  # fmt: skip

    def ssh(self, command: str, *, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command as root."""
        done = subprocess.run(
            ["ssh", *self.ssh_options, f"{USER}@{self.address}", f"sudo sh -c {shlex.quote(command)}"],
            capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {command!r} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self) -> None:
        """Boot it, and wait until systemd has started everything that it should."""
        log = (self.run / f"{self.name}.log").open("ab")
        group = control_group(self.namespace)
        self._process = subprocess.Popen(
            [
                "sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', group,
                "systemd-nspawn", f"--directory={self.system}", f"--machine={self.name}", "--boot",
                f"--network-namespace-path=/run/netns/{self.namespace}",
                "--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off",
                FILTER,
            ],
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        for attempt in Retrying(
            stop=stop_after_delay(_START_SECONDS),
            wait=wait_fixed(0.3),
            retry=retry_if_exception_type(NotReady),
            reraise=True,
        ):
            with attempt:
                self._ready()

    def _ready(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            said = (self.run / f"{self.name}.log").read_text(errors="replace")
            raise RuntimeError(f"{self.name} did not start: {said[-2000:]}")
        done = self.ssh("systemctl is-system-running --wait", check=False)
        if done.stdout.strip() not in ("running", "degraded"):
            raise NotReady(f"{self.name}: {done.stdout}{done.stderr}")

    def stop(self) -> None:
        """Shut it down in order; pull the plug where that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def reboot(self) -> None:
        """Shut it down and boot it again, with all that is on its disk."""
        self.stop()
        self.start()


@contextmanager
def network() -> Iterator[Network]:
    """The first network that no other run uses; the remains of a killed run are removed first."""
    with ExitStack() as stack:
        found = _free(stack)
        _ip("link", "delete", found.bridge, check=False)
        _ip("link", "add", found.bridge, "type", "bridge")
        stack.callback(_ip, "link", "delete", found.bridge)
        _ip("address", "add", f"{found.here}/24", "dev", found.bridge)
        _ip("link", "set", found.bridge, "up")
        yield found


def _free(stack: ExitStack) -> Network:
    for number in range(NETWORKS):
        try:
            stack.enter_context(FileLock(cache() / f"network-{number}.lock", timeout=0))
        except Timeout:
            continue
        return Network(number)
    raise RuntimeError(f"all {NETWORKS} networks for machines are in use: wait until another run has ended")


@contextmanager
def fleet(net: Network, roots: Sequence[tuple[str, Root]], run: Path, archive: str) -> Iterator[dict[str, Machine]]:
    """Boot machines with these names.

    Args:
        net: the network that they are on.
        roots: each machine's name and root file system.
        run: an empty folder, not itself on an overlay.
        archive: address of the operating systems' packages, with a folder for each suite.
    """
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", run / "key"], check=True)
    addresses = {name: net.address(number) for number, (name, _) in enumerate(roots, 11)}
    with ExitStack() as stack:
        machines = {}
        for name, root in roots:
            system = stack.enter_context(_system(name, root, run, addresses, archive))
            stack.enter_context(_wired(net, name, addresses[name]))
            machines[name] = Machine(name, addresses[name], system, run, net.namespace(name))
            stack.callback(machines[name].stop)
        known = []
        for name, root in roots:
            key = (root.folder / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
            known.append(f"{addresses[name]} {key[0]} {key[1]}\n")
        (run / "known_hosts").write_text("".join(known))
        for machine in machines.values():
            machine.start()
        yield machines


@contextmanager
def newcomer(
    net: Network, name: str, root: Root, run: Path, archive: str, others: Sequence[Machine]
) -> Iterator[Machine]:
    """Add a machine to a fleet without booting it: write to *system* as you would to a memory card."""
    address = net.address(11 + len(others))
    addresses = {name: address, **{each.name: each.address for each in others}}
    with _system(name, root, run, addresses, archive) as system, _wired(net, name, address):
        machine = Machine(name, address, system, run, net.namespace(name))
        key = (root.folder / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
        with (run / "known_hosts").open("a") as known:
            known.write(f"{address} {key[0]} {key[1]}\n")
        try:
            yield machine
        finally:
            machine.stop()


@contextmanager
def _system(name: str, root: Root, run: Path, addresses: dict[str, str], archive: str) -> Iterator[Path]:
    """A root with this machine's name, account and addresses written over it."""
    folder = run / name
    upper, work, merged = folder / "upper", folder / "work", folder / "system"
    for each in (upper, work, merged):
        each.mkdir(parents=True)
    options = f"lowerdir={root.folder},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        _write(merged / "etc/hostname", f"{name}\n")
        _write(merged / "etc/machine-id", f"{uuid.uuid4().hex}\n")
        names = "".join(f"{address} {each}\n" for each, address in addresses.items() if each != name)
        _write(merged / "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n{names}")
        _write(merged / "etc/apt/sources.list", f"deb [trusted=yes] {archive}/{root.suite} ./\n")
        subprocess.run(["chroot", merged, "useradd", "--create-home", "--shell", "/bin/bash", USER], check=True)
        _write(merged / f"etc/sudoers.d/{USER}", f"{USER} ALL=(ALL) NOPASSWD: ALL\n", 0o440)
        keys = merged / f"home/{USER}/.ssh"
        keys.mkdir(mode=0o700)
        _write(keys / "authorized_keys", (run / "key.pub").read_text(), 0o600)
        subprocess.run(["chroot", merged, "chown", "-R", f"{USER}:", f"/home/{USER}/.ssh"], check=True)
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)
        shutil.rmtree(folder)


@contextmanager
def _wired(net: Network, name: str, address: str) -> Iterator[None]:
    """A network namespace with one cable to the bridge."""
    namespace, here = net.namespace(name), net.link(name)
    _ip("netns", "delete", namespace, check=False)
    _ip("netns", "add", namespace)
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", here, "master", net.bridge, "up")
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", link, "up")
        yield
    finally:
        _ip("netns", "delete", namespace)


def control_group(name: str) -> Path:
    """A control group for one machine: two that shared one would end each other's services."""
    with Path("/proc/self/mounts").open() as mounts:
        top = next(Path(line.split()[1]) for line in mounts if line.split()[2] == "cgroup2")
    own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    group = top / own.removeprefix("0::").lstrip("/") / name
    group.mkdir(exist_ok=True)
    return group


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, stderr=None if check else subprocess.DEVNULL, timeout=30)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.unlink(missing_ok=True)  # a link would lead out of the machine
    path.write_text(text)
    path.chmod(mode)
