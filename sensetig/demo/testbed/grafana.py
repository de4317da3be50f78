"""Grafana on loopback, provisioned from the bundle, without connections to the internet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sensetig.demo.testbed import processes
from sensetig.demo.testbed.influxdb import answers
from sensetig.demo.testbed.ports import LOOPBACK

#: The user that is created with a password.
ADMINISTRATOR = "admin"

#: Grafana's settings as environment variables. A viewer needs no login here: Grafana listens only on loopback,
#: and the anonymous account can only read.
_SETTINGS = {
    "GF_SERVER_HTTP_ADDR": LOOPBACK,
    "GF_AUTH_ANONYMOUS_ENABLED": "true",
    "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
    "GF_AUTH_DISABLE_LOGIN_FORM": "true",
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
    "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
    # If Grafana's own settings disable alerting, it does not start with provisioned rules.
    "GF_UNIFIED_ALERTING_ENABLED": "true",
    # A new Grafana uses its default policy until it reads the provisioned one; so poll before the first alert.
    "GF_UNIFIED_ALERTING_ALERTMANAGER_CONFIG_POLL_INTERVAL": "10s",
    "GF_LOG_LEVEL": "warn",
    # Without it, concurrent access to Grafana's database at start-up fails and is logged.
    "GF_DATABASE_WAL": "true",
}


def start(
    home: Path,
    bundle: Path,
    folder: Path,
    port: int,
    environment: Mapping[str, str],
    log: Path,
    spawned: processes.Spawned = processes.ignore,
    password: str | None = None,
) -> tuple[processes.Identity, str]:
    """Start Grafana with its data in *folder*, wait until it is ready, and return the process and its URL.

    Args:
        home: Grafana's own folder, with ``bin``, ``conf`` and ``public``.
        bundle: the folder that holds ``grafana/``.
        folder: holds Grafana's database.
        port: of the loopback address.
        environment: variables for the provisioning: InfluxDB's URL, organisation and read token.
        log: receives its output.
        spawned: called with the process before Grafana is ready.
        password: for the user ``admin``, who is created if there is no user yet; without it, no user is created.

        Raises:
            EngineFailed: Grafana ended early, or is not ready in time.
    """
    (folder / "plugins").mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    program = next(path for name in ("grafana", "grafana-server") if (path := home / "bin" / name).is_file())
    settings = {
        **_SETTINGS,
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_PATHS_DATA": str(folder),
        "GF_PATHS_LOGS": str(folder / "log"),
        "GF_PATHS_PLUGINS": str(folder / "plugins"),
        "GF_PATHS_PROVISIONING": str(bundle / "grafana" / "provisioning"),
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(bundle / "grafana" / "dashboards" / "device.json"),
        "SENSETIG_DASHBOARDS": str(bundle / "grafana" / "dashboards"),
        **_administrator(password),
        **environment,
    }
    command: list[str | Path] = [program, *(["server"] if program.name == "grafana" else []), "--homepath", home]
    identity = processes.start("Grafana", command, log=log, environment=settings, folder=home)
    spawned(identity)
    url = f"http://{LOOPBACK}:{port}"
    try:
        processes.await_ready(identity, lambda: answers(f"{url}/api/health"), log=log, seconds=300)
    except BaseException:
        processes.stop([identity])
        raise
    return identity, url


def _administrator(password: str | None) -> dict[str, str]:
    """Variables that prevent an administrator with the default password."""
    if password is None:
        return {"GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true"}
    return {"GF_SECURITY_ADMIN_USER": ADMINISTRATOR, "GF_SECURITY_ADMIN_PASSWORD": password}
