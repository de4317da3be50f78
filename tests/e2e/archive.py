"""Package archives for machines without internet access: the vendors', signed with a key of the run, and Debian's.

The vendors' packages are wrapped around the engines from `make engines`. Their names, users, paths and units are taken
from the vendors' build files as far as those are public, so that the roles meet the same conditions as on a Pi.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from pysequoia import SignatureMode, Tsk, sign

from tests.e2e.roots import Root

_TELEGRAF_UNIT = """\
[Unit]
Description=Telegraf
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=all
User=telegraf
EnvironmentFile=-/etc/default/telegraf
ImportCredential=telegraf.*
ExecStart=/usr/bin/telegraf -config /etc/telegraf/telegraf.conf \\
  -config-directory /etc/telegraf/telegraf.d $TELEGRAF_OPTS
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartForceExitStatus=SIGPIPE
KillMode=mixed
LimitMEMLOCK=8M:8M
PrivateMounts=true

[Install]
WantedBy=multi-user.target
"""

_INFLUXDB_UNIT = """\
[Unit]
Description=InfluxDB is an open-source, distributed, time series database
After=network-online.target

[Service]
User=influxdb
Group=influxdb
LimitNOFILE=65536
EnvironmentFile=-/etc/default/influxdb2
ExecStart=/usr/lib/influxdb/scripts/influxd-systemd-start.sh
KillMode=control-group
Restart=on-failure
Type=forking
PIDFile=/var/lib/influxdb/influxd.pid

[Install]
WantedBy=multi-user.target
Alias=influxd.service
"""

_INFLUXDB_START = """\
#!/bin/bash -e
/usr/bin/influxd &
echo $! > /var/lib/influxdb/influxd.pid
"""

_INFLUXDB_SETTINGS = """\
bolt-path = "/var/lib/influxdb/influxd.bolt"
engine-path = "/var/lib/influxdb/engine"
"""


class Content(NamedTuple):
    """The contents of a package.

    Args:
        programs: files of this machine, by their path in the package.
        files: texts, by their path.
        executable: the paths among *files* that are executable.
        settings: the paths that dpkg preserves if the operator has changed them.
        user: the account that the package creates.
        home: the home folder of that account.
        unit: the service.
        starts: whether the package starts it.
    """

    programs: dict[str, Path]
    files: dict[str, str]
    executable: tuple[str, ...]
    settings: tuple[str, ...]
    user: str
    home: str
    unit: str
    starts: bool = True


def telegraf(program: Path) -> Content:
    """The package `telegraf`."""
    return Content(
        programs={"usr/bin/telegraf": program},
        files={
            "lib/systemd/system/telegraf.service": _TELEGRAF_UNIT,
            "etc/telegraf/telegraf.conf": "[agent]\n[[inputs.cpu]]\n[[outputs.discard]]\n",
            "etc/default/telegraf": "",
            "etc/telegraf/telegraf.d/.keep": "",
        },
        executable=(),
        settings=("/etc/telegraf/telegraf.conf", "/etc/default/telegraf"),
        user="telegraf",
        home="/etc/telegraf",
        unit="telegraf.service",
    )


def influxdb(program: Path) -> Content:
    """The package `influxdb2`."""
    return Content(
        programs={"usr/bin/influxd": program},
        files={
            "lib/systemd/system/influxdb.service": _INFLUXDB_UNIT,
            "usr/lib/influxdb/scripts/influxd-systemd-start.sh": _INFLUXDB_START,
            "etc/influxdb/config.toml": _INFLUXDB_SETTINGS,
            "etc/default/influxdb2": "INFLUXD_CONFIG_PATH=/etc/influxdb/config.toml\n",
        },
        executable=("usr/lib/influxdb/scripts/influxd-systemd-start.sh",),
        settings=("/etc/influxdb/config.toml", "/etc/default/influxdb2"),
        user="influxdb",
        home="/var/lib/influxdb",
        unit="influxdb.service",
    )


def _post_install(content: Content) -> str:
    user, home = content.user, content.home
    return (
        "#!/bin/sh\nset -e\n"
        f"id {user} >/dev/null 2>&1 || useradd --system --user-group --home-dir {home} --shell /bin/false {user}\n"
        f"install -d -o {user} -g {user} -m 0750 /var/lib/{user}\n"
        f"install -d -o {user} -g {user} -m 0755 /var/log/{user}\n"
        "[ -d /run/systemd/system ] || exit 0\n"
        + (
            f"systemctl daemon-reload\nsystemctl enable {content.unit}\nsystemctl restart {content.unit} || true\n"
            if content.starts
            else f"systemctl daemon-reload\nsystemctl try-restart {content.unit} || true\n"
        )
    )


def _pre_remove(content: Content) -> str:
    return f'#!/bin/sh\n[ "$1" = upgrade ] || systemctl disable --now {content.unit} || true\n'


def deb(name: str, version: str, content: Content, folder: Path) -> Path:
    """Build a package in a folder."""
    tree = folder / f".{name}"
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: a test <test@invalid>\n"
        f"Description: {name}, wrapped around an engine of this machine\n"
    )
    texts = {
        **content.files,
        "DEBIAN/control": control,
        "DEBIAN/conffiles": "".join(f"{each}\n" for each in content.settings),
        "DEBIAN/postinst": _post_install(content),
        "DEBIAN/prerm": _pre_remove(content),
    }
    for path, text in texts.items():
        there = tree / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)
        there.chmod(0o755 if path in (*content.executable, "DEBIAN/postinst", "DEBIAN/prerm") else 0o644)
    for path, program in content.programs.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, tree / path)
    made = folder / f"{name}_{version}_amd64.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, made],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(tree)
    return made


class Vendor:
    """A signed archive with the layout of the vendors' archives.

    Args:
        folder: the folder to serve.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pool = folder / "pool"
        self.pool.mkdir(parents=True)
        self._secret = Tsk.generate("A vendor <packages@vendor.invalid>")
        certificate = self._secret.extract_certificate()
        self.fingerprint = certificate.fingerprint.upper()
        (folder / "archive.key").write_text(str(certificate))

    def publish(self) -> None:
        """Index and sign the packages in the pool."""
        suite = self.folder / "dists" / "stable"
        index = suite / "main" / "binary-amd64" / "Packages"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_bytes(_scan(self.folder, "pool"))
        data = index.read_bytes()
        text = (
            "Origin: A vendor\nSuite: stable\nCodename: stable\nComponents: main\nArchitectures: amd64\n"
            f"Date: {_now()}\nSHA256:\n {sha256(data).hexdigest()} {len(data)} {index.relative_to(suite)}\n"
        )
        (suite / "InRelease").write_bytes(sign(self._secret.signer(), text.encode(), mode=SignatureMode.CLEAR))


def operating_system(folder: Path, roots: list[Root]) -> None:
    """The packages stored with each root, as a plain archive for its suite."""
    for root in roots:
        there = folder / root.suite
        if there.exists():
            continue
        there.mkdir(parents=True)
        for package in root.packages.iterdir():
            os.link(package, there / package.name) if _same_device(package, there) else shutil.copy(package, there)
        (there / "Packages").write_bytes(_scan(there, "."))


def _same_device(first: Path, second: Path) -> bool:
    return first.stat().st_dev == second.stat().st_dev


def _scan(folder: Path, pool: str) -> bytes:
    return subprocess.run(
        ["dpkg-scanpackages", "--multiversion", pool], cwd=folder, check=True, capture_output=True, timeout=300
    ).stdout


def _now() -> str:
    return subprocess.run(["date", "-R", "-u"], check=True, capture_output=True, text=True).stdout.strip()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Discard the log, which would clutter the test's output."""


@contextmanager
def served(folder: Path, address: str) -> Iterator[str]:
    """The address of a server of that folder."""
    server = ThreadingHTTPServer((address, 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
