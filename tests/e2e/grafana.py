"""Grafana for the machines of the tests: a package that is given, or one that is wrapped around an installation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.e2e import archive

_UNIT = """\
[Unit]
Description=Grafana
Wants=network-online.target
After=network-online.target influxdb.service

[Service]
Type=notify
User=grafana
Group=grafana
EnvironmentFile=/etc/default/grafana-server
WorkingDirectory=/usr/share/grafana
RuntimeDirectory=grafana
RuntimeDirectoryMode=0750
ExecStart=/usr/share/grafana/bin/grafana server --config=${CONF_FILE} --pidfile=${PID_FILE_DIR}/grafana-server.pid \\
  --packaging=deb cfg:default.paths.logs=${LOG_DIR} cfg:default.paths.data=${DATA_DIR} \\
  cfg:default.paths.plugins=${PLUGINS_DIR} cfg:default.paths.provisioning=${PROVISIONING_CFG_DIR}
Restart=on-failure
LimitNOFILE=10000
TimeoutStopSec=20
NoNewPrivileges=true

[Install]
WantedBy=multi-user.target
"""

_VARIABLES = """\
GRAFANA_USER=grafana
GRAFANA_GROUP=grafana
GRAFANA_HOME=/usr/share/grafana
LOG_DIR=/var/log/grafana
DATA_DIR=/var/lib/grafana
MAX_OPEN_FILES=10000
CONF_DIR=/etc/grafana
CONF_FILE=/etc/grafana/grafana.ini
RESTART_ON_UPGRADE=true
PLUGINS_DIR=/var/lib/grafana/plugins
PROVISIONING_CFG_DIR=/etc/grafana/provisioning
PID_FILE_DIR=/run/grafana
"""

#: A settings file of an installation that is run by hand is no part of a package.
_OWN = ("conf/custom.ini",)


class Found(NamedTuple):
    """A Grafana that the machines can install.

    Args:
        version: of the package.
    """

    version: str


def publish(environ: Mapping[str, str], pool: Path) -> Found | None:
    """Put Grafana's package among the vendor's: GRAFANA_DEB as it is, or GRAFANA_HOME wrapped; None without either."""
    given, home = environ.get("GRAFANA_DEB"), environ.get("GRAFANA_HOME")
    if given:
        shutil.copy(given, pool)
        return Found(_said("dpkg-deb", "--field", given, "Version"))
    if not home:
        return None
    program = Path(home) / "bin" / "grafana"
    if not program.is_file():
        raise FileNotFoundError(f"there is no {program}: let GRAFANA_HOME be the folder of a Grafana of 11 or later")
    version = re.search(r"\d+\.\d+\.\d+", _said(program, "--version"))
    assert version is not None, f"{program} does not tell its version"
    archive.deb("grafana", version[0], _content(Path(home)), pool)
    return Found(version[0])


def _content(home: Path) -> archive.Content:
    """The package `grafana`: the layout, user and unit of the vendor's."""
    programs = {}
    for folder in ("bin", "conf", "public", "plugins-bundled"):
        for path in (home / folder).rglob("*"):
            inside = path.relative_to(home)
            if path.is_file() and str(inside) not in _OWN and path.suffix != ".map":
                programs[f"usr/share/grafana/{inside}"] = path
    return archive.Content(
        programs=programs,
        files={
            "lib/systemd/system/grafana-server.service": _UNIT,
            "etc/default/grafana-server": _VARIABLES,
            "etc/grafana/grafana.ini": "",
            "usr/sbin/grafana-server": '#!/bin/sh\nexec /usr/share/grafana/bin/grafana server "$@"\n',
        },
        executable=("usr/sbin/grafana-server",),
        settings=("/etc/default/grafana-server", "/etc/grafana/grafana.ini"),
        user="grafana",
        home="/usr/share/grafana",
        unit="grafana-server.service",
        starts=False,
    )


def _said(*command: str | Path) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "LC_ALL": "C"}
    ).stdout.strip()
