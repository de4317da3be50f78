"""Podman for the tests of the containers: images, a network namespace for each machine, and an operator's commands.

Images and volumes are in a storage of the tests' own in the user's cache. The vendors' images, which cannot be pulled
everywhere, are replaced by images of the same names with the engines that the other tests use.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from sensetig.engines import locate
from tests.e2e import roots, wheels

PROJECT = Path(__file__).resolve().parents[2]
CONTAINERS = PROJECT / "containers"
FILES = Path(__file__).resolve().parent / "container_files"

#: The packages that have the programs.
PROGRAMS = {"podman": "podman", "debootstrap": "debootstrap", "ip": "iproute2", "nsenter": "util-linux"}

#: Debian's is too old for profiles.
COMPOSE = "podman-compose==1.6.0"

SUITE = "trixie"

#: The vendors' images and the targets that replace them in the tests.
VENDORS = {
    "telegraf": "docker.io/library/telegraf:1.39.3",
    "influxdb": "docker.io/library/influxdb:2.9.1",
    "mosquitto": "docker.io/library/eclipse-mosquitto:2.0.22",
    "nginx": "docker.io/library/nginx:1.28.0",
}
DEBIAN = "docker.io/library/debian:13.2-slim"

EXTRAS = "mqtt,outbox,camera,control,vision"

_SECONDS = 600


def folder() -> Path:
    """The tests' own storage, settings and programs."""
    made = roots.cache() / "containers"
    made.mkdir(exist_ok=True)
    return made


def obstacle() -> str:
    """What keeps containers from being run here; nothing, if they can be."""
    if os.geteuid() != 0:
        return "a network namespace for each machine takes root"
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    name = f"sensetig-c{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    configure()
    tried = run("podman", "info", check=False)
    return f"podman does not work: {tried.stderr.strip()[-200:]}" if tried.returncode else ""


def configure() -> None:
    """Write Podman's settings for this machine: what its own are is no matter of a test.

    A sandbox refuses to raise limits, and its control groups are of both versions, which only runc knows.
    """
    hybrid = Path("/sys/fs/cgroup/unified").is_dir() and shutil.which("runc") is not None
    engine = ['cgroup_manager = "cgroupfs"', 'events_logger = "file"', *(['runtime = "runc"'] if hybrid else [])]
    (folder() / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\n' + "\n".join(engine) + "\n"
    )
    places = {"driver": "overlay", "graphroot": folder() / "storage", "runroot": "/run/sensetig-e2e-containers"}
    (folder() / "storage.conf").write_text(
        "[storage]\n" + "".join(f'{key} = "{value}"\n' for key, value in places.items())
    )


def environment() -> dict[str, str]:
    """The environment of Podman and its companions."""
    programs = folder() / "venv" / "bin"
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("SENSETIG_", "COMPOSE_"))},
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CONTAINERS_CONF": str(folder() / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder() / "storage.conf"),
    }


def run(
    *command: str | Path,
    check: bool = True,
    timeout: float = _SECONDS,
    data: bytes | None = None,
    variables: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command with the tests' storage. Raises AssertionError with its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True,
        env={**environment(), **(variables or {})},
        cwd=cwd,
        check=False,
        timeout=timeout,
    )
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}: {out[-3000:]}{err[-3000:]}")
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


# --- images ---


def prepare(today: date) -> None:
    """podman-compose, the vendors' images or their replacements, and the libraries as wheels."""
    with FileLock(folder() / "lock"):
        if not (folder() / "venv" / "bin" / "podman-compose").exists():
            run(sys.executable, "-m", "venv", folder() / "venv")
            run(folder() / "venv" / "bin" / "pip", "install", "--quiet", COMPOSE)
        label = f"sensetig.month={today:%Y-%m}"
        filters = ("--filter", f"label={label}", "--filter", f"reference={DEBIAN}")
        if not run("podman", "images", "--quiet", *filters).stdout.strip():
            _import_debian(label)
        _build_standins()


def _import_debian(label: str) -> None:
    system = folder() / "debian"
    shutil.rmtree(system, ignore_errors=True)
    run(
        "debootstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        SUITE,
        system,
        roots.ARCHIVES[SUITE].mirror,
        timeout=1200,
    )
    # The vendor's slim image lacks these, too.
    for path in (
        "usr/share/doc",
        "usr/share/man",
        "usr/share/info",
        "usr/share/locale",
        "var/cache/apt",
        "var/lib/apt/lists",
    ):
        shutil.rmtree(system / path)
    packed = folder() / "debian.tar"
    run("tar", "--create", "--file", packed, "--directory", system, ".")
    run("podman", "import", "--change", f"LABEL {label}", "--change", 'CMD ["bash"]', packed, DEBIAN)
    packed.unlink()
    shutil.rmtree(system)


def _build_standins() -> None:
    context = folder() / "standins"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(FILES, context)
    for engine in ("influxd", "telegraf"):
        found = locate(engine)
        assert found is not None, f"{engine} is not in the cache: make engines"
        shutil.copy(found.path, context / engine)
    for target, name in VENDORS.items():
        run(
            "podman",
            "build",
            "--network=host",
            "--build-arg",
            f"DEBIAN={DEBIAN}",
            "--target",
            target,
            "--tag",
            name,
            context,
        )


def build(tag: str, *options: str) -> float:
    """Build the images with `make images`, as an operator does; return the seconds that it took.

    A sandbox's package index is known to this machine alone, so pip gets a folder of wheels.
    """
    house = wheels.house(PROJECT, EXTRAS)
    settings = folder() / "pip.conf"
    settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    given = f"--network=host --volume={house}:/wheels:ro --volume={settings}:/etc/pip.conf:ro {' '.join(options)}"
    began = time.monotonic()
    run("make", "images", "ENGINE=podman", f"TAG={tag}", f"IMAGE_OPTIONS={given}", cwd=PROJECT, timeout=2400)
    return time.monotonic() - began


# --- machines ---


class Host:
    """A machine that runs containers: a network namespace, and a project of Compose with its ``.env``.

    Args:
        name: of the namespace and the project.
        run: folder of the run.
    """

    def __init__(
        self, name: str, run: Path, profile: str, services: Sequence[str], files: Sequence[Path] = (), **settings: str
    ) -> None:
        self.name = name
        self.services = tuple(services)
        self.variables: dict[str, str] = {}
        self._files = (CONTAINERS / "compose.yaml", *files)
        self._env = run / f"{name}.env"
        self.settings = {
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_PROFILES": profile,
            "SENSETIG_HOST": name,
            "SENSETIG_SITE": "e2e",
            **settings,
        }

    def inside(self, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in this machine's network."""
        return run("nsenter", f"--net=/run/netns/{self.name}", *command, **options)

    def compose(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run podman-compose."""
        self._env.write_text("".join(f"{key}={value}\n" for key, value in self.settings.items()))
        files = [part for file in self._files for part in ("--file", file)]
        return self.inside(
            "podman-compose", "--project-name", self.name, "--env-file", self._env, *files, *arguments,
            variables=self.settings, cwd=CONTAINERS, **options,
        )  # fmt: skip

    def up(self) -> None:
        """Start the services."""
        self.compose("up", "--detach", "--no-build", *self.services)

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.name}_{service}_1"

    def exec(self, service: str, *command: str, check: bool = True, data: bytes | None = None) -> str:
        """The output of a command in a container."""
        flags = ["--interactive"] if data is not None else []
        done = self.inside("podman", "exec", *flags, self.container(service), *command, check=check, data=data)
        return done.stdout

    def volume(self, name: str) -> Path:
        """The folder of a volume."""
        (found,) = json.loads(run("podman", "volume", "inspect", f"{self.name}_{name}").stdout)
        return Path(found["Mountpoint"])

    def query(self, service: str, statement: str, database: str = "raw") -> list[list[Any]]:
        """The rows of an InfluxQL query, asked from a container of this machine, or none while InfluxDB is away."""
        code = (
            "import json, os, sys; from pathlib import Path; from sensetig.influxdb.client import Client; "
            "client = Client.with_token_file(os.environ['SENSETIG_INFLUXDB_URL'], "
            "Path(os.environ['SENSETIG_READ_TOKEN_FILE'])); "
            "print(json.dumps([row for each in client.query(sys.argv[1], sys.argv[2]) "
            "for row in ([each.tags, *row] for row in each.rows)]))"
        )
        said = self.exec(service, "python", "-c", code, statement, database, check=False).strip()
        return json.loads(said) if said else []


@contextmanager
def machine(
    name: str, run_folder: Path, profile: str, services: Sequence[str], files: Sequence[Path] = (), **settings: str
) -> Iterator[Host]:
    """A machine; its containers and volumes go away with it."""
    run("ip", "netns", "delete", name, check=False)
    run("ip", "netns", "add", name)
    host = Host(name, run_folder, profile, services, files, **settings)
    try:
        host.inside("ip", "link", "set", "lo", "up")
        yield host
    finally:
        containers = run("podman", "ps", "--all", "--quiet", "--filter", f"name=^{name}_").stdout.split()
        if containers:
            run("podman", "rm", "--force", "--time", "5", *containers, check=False)
        run("podman", "pod", "rm", "--all", "--force", check=False)
        volumes = run("podman", "volume", "ls", "--quiet", "--filter", f"name={name}_").stdout.split()
        if volumes:
            run("podman", "volume", "rm", "--force", *volumes, check=False)
        run("ip", "netns", "delete", name)


@contextmanager
def cable(one: Host, other: Host) -> Iterator[tuple[str, str]]:
    """A cable between two machines; their addresses."""
    addresses = "10.178.0.1", "10.178.0.2"
    run(
        "ip", "-n", one.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", other.name,
    )  # fmt: skip
    for host, address in zip((one, other), addresses, strict=True):
        host.inside("ip", "address", "add", f"{address}/24", "dev", "eth0")
        host.inside("ip", "link", "set", "eth0", "up")
    yield addresses


def today() -> date:
    """This day."""
    return datetime.now(UTC).date()
