"""Texts for a maintainer: versions, settings, services, journal, hardware, the doctor's findings.

Every text goes through the redactor, and the finished archive is searched for every known secret.
"""

from __future__ import annotations

import gzip
import io
import json
import platform
import stat
import tarfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path

from collectors import __version__
from sensetig.doctor import machine
from sensetig.doctor.checks import CHECKS
from sensetig.doctor.examine import examine
from sensetig.doctor.patient import Patient
from sensetig.doctor.redact import Redactor, assigned, values
from sensetig.doctor.show import plain
from sensetig.doctor.system import units
from sensetig.errors import OperatorError

#: Files with settings, below the root.
_SETTINGS = (
    "etc/sensetig/*.toml",
    "etc/sensetig/*.env",
    "etc/sensetig/*.yml",
    "etc/sensetig/proxy/*.conf",
    "etc/default/telegraf",
    "etc/default/influxdb2",
    "etc/telegraf/*.conf",
    "etc/telegraf/telegraf.d/*.conf",
    "etc/influxdb/config.toml",
    "etc/grafana/grafana.ini",
    "etc/grafana/provisioning/*/*.yaml",
    "etc/mosquitto/conf.d/*.conf",
    "etc/systemd/system/sensetig-*",
    "etc/systemd/system/*.d/sensetig.conf",
)

#: Files that hold secrets, below the root.
_SECRETS = (
    "etc/sensetig/tokens/*",
    "etc/sensetig/live/*",
    "etc/sensetig/credentials/*",
    "etc/sensetig/tls/*.key",
    "etc/sensetig/authority/*.key",
    "etc/sensetig/backup/key",
    "etc/mosquitto/*.passwd",
    "etc/mosquitto/certs/*.key",
    "run/credentials/*/*",
    "var/lib/sensetig-enrolment/*.json",
    "var/lib/sensetig-enrolment/*/*.json",
)

#: Certificates and revocation lists are not secret.
_PUBLIC = (".crl", ".crt", ".pem")

#: Texts of the kernel.
_HARDWARE = (
    "etc/os-release",
    "etc/rpi-issue",
    "proc/device-tree/model",
    "proc/device-tree/hat/product",
    "proc/cmdline",
    "proc/cpuinfo",
    "proc/loadavg",
    "proc/meminfo",
    "proc/mounts",
    "proc/uptime",
    "sys/fs/cgroup/cgroup.controllers",
)

#: Programs -> the file of their output.
_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "disks.txt": ("df", "-h", "-T"),
    "devices.txt": ("lsblk", "--output=NAME,SIZE,TYPE,FSTYPE,MOUNTPOINTS,MODEL"),
    "usb.txt": ("lsusb",),
    "throttled.txt": ("vcgencmd", "get_throttled"),
    "clock.txt": ("timedatectl",),
    "packages.txt": ("dpkg-query", "-W", "telegraf", "influxdb2", "grafana", "mosquitto", "nginx", "sense-hat"),
    "failed-units.txt": ("systemctl", "list-units", "--failed", "--no-pager", "--plain"),
    "kernel.txt": ("journalctl", "--dmesg", "--priority=warning", "--lines=200", "--no-pager"),
}

#: Maximum number of lines of a service's journal.
_LINES = 200

#: Maximum number of characters of one text.
_MAX_TEXT = 400_000


class SecretLeft(OperatorError):
    """The archive would contain a secret."""


def redactor(patient: Patient) -> Redactor:
    """A redactor that knows the secrets of an installation from their files."""
    made = Redactor(())
    users: list[str] = []
    for path in _secret_files(patient):
        content = machine.text(path) or ""
        if path.suffix in (".conf", ".json"):
            made.learn_from(content)
        elif path.suffix not in _PUBLIC:
            made.learn(values(content))
        if path.name.startswith("mqtt-") and path.name.endswith(".password"):
            users.append(path.name.removeprefix("mqtt-").removesuffix(".password"))
        if path.suffix == ".passwd" or path.name == "mqtt-users":
            users += [line.partition(":")[0].strip() for line in content.splitlines() if ":" in line]
    # The name of Telegraf's own user appears in every text.
    made.rename({name: f"mqtt-user-{n}" for n, name in enumerate(sorted({*users} - {"telegraf", ""}), 1)})
    for path in _below(patient.top, _SETTINGS):
        text = machine.text(path, _MAX_TEXT) or ""
        made.learn_from(text)
        # The content of a file named in a setting for a secret is secret.
        for value in assigned(text).values():
            named = Path(value.rstrip(";"))
            if named.is_absolute() and named.is_file() and named.suffix not in _PUBLIC:
                made.learn(values(machine.text(named) or ""))
    return made


def _secret_files(patient: Patient) -> Iterator[Path]:
    site = patient.site
    yield from _below(patient.top, _SECRETS)
    for folder in (site.tokens, site.live_tokens):
        if folder.is_dir():
            yield from (each for each in sorted(folder.iterdir()) if each.is_file())
    if site.grafana_password_file is not None:
        yield site.grafana_password_file


def _below(top: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from (each for each in sorted(top.glob(pattern)) if each.is_file())


def texts(patient: Patient) -> Iterator[tuple[str, str]]:
    """Name and text of each file of the archive, not redacted."""
    yield "versions.json", json.dumps(_versions(), indent=2)
    results = list(examine(CHECKS, patient))
    yield "doctor.json", json.dumps(plain(patient.host, results), indent=2, ensure_ascii=False)
    for path in _below(patient.top, _SETTINGS):
        yield f"settings/{path.relative_to(patient.top)}", machine.text(path, _MAX_TEXT) or ""
    yield "secret-files.txt", "\n".join(_listed(path) for path in sorted(set(_secret_files(patient)))) + "\n"
    for name in _HARDWARE:
        content = machine.text(patient.top / name, _MAX_TEXT)
        if content is not None:
            yield f"hardware/{name.replace('/', '-')}.txt", content.replace("\0", "\n")
    for name, command in _PROGRAMS.items():
        answer = patient.run(command)
        if answer.status is not None and answer.output:
            yield f"system/{name}", answer.output
    for unit in units(patient.top):
        shown = patient.run(("systemctl", "show", unit))
        if shown.status == 0:
            yield f"units/{unit}.txt", shown.output
        journal = patient.run(("journalctl", "--unit", unit, f"--lines={_LINES}", "--no-pager", "--output=short-iso"))
        if journal.status == 0 and journal.output:
            yield f"journal/{unit}.txt", journal.output


def _versions() -> dict[str, object]:
    return {
        "sensetig": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "libraries": dict(sorted((each.metadata["Name"], each.version) for each in distributions())),
    }


def _listed(path: Path) -> str:
    """A line like that of `ls -l` for a file of secrets, without its content."""
    try:
        status = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    date = time.strftime("%Y-%m-%d %H:%M", time.gmtime(status.st_mtime))
    return f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid} {status.st_size:6} {date} {path}"


def bundle(patient: Patient, name: str) -> bytes:
    """The archive, a gzipped tar with one folder of that name.

    Raises:
        SecretLeft: a text contains a known secret, so that nothing is returned.
    """
    cleaner = redactor(patient)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, text in texts(patient):
            clean, title = cleaner.clean(text[:_MAX_TEXT]), cleaner.clean(path)
            if cleaner.left_in(clean) or cleaner.left_in(title):
                raise SecretLeft(f"a secret would be left in {title} of the archive, so it is not written; report this")
            content = clean.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"{name}/{title}")
            entry.size, entry.mtime, entry.mode = len(content), int(patient.now()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(out.getvalue(), 9, mtime=0)
