"""The page of `sensetig info`: addresses, arrived points, missing hardware, and the next steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sensetig.doctor.place import ALONE, EDGE, HUB, Access
from sensetig.documentation import linked
from sensetig.report.text import MAX_NAME, MAX_TEXT, printable
from sensetig.site import Site

#: Telegraf's internal measurements: included in the total, but not listed.
_TELEGRAFS_OWN = "internal_"

_SHOWN_STEPS = 3

RUN_AGAIN = "run ./install again in the checkout"


class Facts(NamedTuple):
    """The facts about this machine.

    Args:
        host: its name.
        role: a constant of :mod:`sensetig.doctor.place`.
        version: of the bundle.
        site: the installation.
        access: how to reach the dashboards.
        arrived: points of the last minute by measurement; None if they cannot be counted here.
        problem: the reason why they cannot; or empty.
        hat: whether the kernel has detected a Sense HAT.
        i2c: whether the I²C bus is enabled.
        camera: whether the kernel has detected a camera.
        camera_set_up: whether the camera's service is installed.
        alerts: whether a notification channel is configured.
        off_host: whether backups are copied to another machine.
        waiting: points that wait in the outbox; None without an outbox.
        config: the file with the playbook's settings.
        own_authority: whether the certificates come from the installation's authority, which browsers do not trust.
    """

    host: str
    role: str
    version: str
    site: Site
    access: Access
    arrived: Mapping[str, int] | None = None
    problem: str = ""
    hat: bool = False
    i2c: bool = False
    camera: bool = False
    camera_set_up: bool = False
    alerts: bool = False
    off_host: bool = False
    waiting: int | None = None
    config: str = "config.yml"
    own_authority: bool = False


def missing(facts: Facts) -> list[tuple[str, str]]:
    """Supported hardware that this machine lacks, each with the way to add it."""
    found = []
    if not facts.hat:
        first = "switch the power off, put the board on, switch it on"
        bus = "" if facts.i2c else ", switch I²C on (sudo raspi-config nonint do_i2c 0), restart"
        found.append(("Sense HAT", f"{first}{bus}, and {RUN_AGAIN}"))
    if not facts.camera:
        found.append(("camera", f"plug one in, set camera_enabled: true in {facts.config}, and {RUN_AGAIN}"))
    elif not facts.camera_set_up:
        found.append(
            ("camera", f"there is one that is not used: set camera_enabled: true in {facts.config}, and {RUN_AGAIN}")
        )
    return found


def steps(facts: Facts) -> list[str]:
    """The next three recommended steps, the most useful first."""
    found = []
    if (facts.arrived is not None and not facts.arrived) or facts.problem or facts.waiting:
        found.append("Find out why points do not arrive: sudo sensetig doctor")
    if facts.role == EDGE:
        found.append(f"Open the hub's dashboards and choose the device {facts.host}.")
    elif facts.access.tunnel:
        found.append("Open the dashboards to your network: sudo ./install --lan in the checkout")
    elif facts.access.urls:
        found.append("Open the dashboards, and sign in once to see that the password works.")
    if facts.role != EDGE and facts.access.urls and not facts.alerts:
        found.append(
            f"Send alerts to a phone: set grafana_alerts in {facts.config} (docs/how-to/phone-alerts.md), "
            f"and {RUN_AGAIN}."
        )
    if facts.role != EDGE and not facts.off_host:
        found.append(
            f"Keep the nightly backups on another machine, too: backup_copy_to in {facts.config} "
            "(docs/how-to/backup.md)."
        )
    if not any("doctor" in each for each in found):
        found.append("Check the whole installation now and then: sudo sensetig doctor")
    found.append("Calibrate the temperature against a thermometer: docs/how-to/calibration.md")
    return [linked(each, facts.site.documentation_url) for each in found[:_SHOWN_STEPS]]


def password_command(site: Site) -> str:
    """The command that shows the password of Grafana's administrator; empty if there is none."""
    return "" if site.grafana_password_file is None else f"sudo cat {site.grafana_password_file}"


def plain(facts: Facts) -> dict[str, Any]:
    """The page's data for ``--json``."""
    return {
        "host": facts.host,
        "role": facts.role,
        "version": facts.version,
        "dashboards": {
            "urls": list(facts.access.urls),
            "tunnel": facts.access.tunnel or None,
            "user": facts.site.grafana_admin if facts.site.grafana_password_file else None,
            "password_command": password_command(facts.site) or None,
        },
        "documentation": _documentation(facts.site) or None,
        "points_last_minute": None if facts.arrived is None else dict(facts.arrived),
        "problem": facts.problem or None,
        "points_waiting": facts.waiting,
        "not_found": [{"what": what, "add": how} for what, how in missing(facts)],
        "next": steps(facts),
    }


def page(facts: Facts, width: int) -> RenderableType:
    """The page for a terminal of *width* columns."""
    title = {EDGE: f"an edge of {facts.site.hub}", HUB: "the hub", ALONE: "on its own"}[facts.role]
    parts: list[RenderableType] = [
        Text.assemble(("SenseTIG ", "bold"), (facts.version, "bold"), f" on {facts.host}, ", title),
        "",
        _rows(_addresses(facts)),
        "",
    ]
    if facts.role == EDGE:
        parts += [Text("Points", style="bold"), _block(_on_an_edge(facts))]
    elif facts.arrived is None:
        parts += [
            Text("Points in the last minute", style="bold"),
            _block(Text(printable(facts.problem, MAX_TEXT), style="red")),
        ]
    else:
        parts.append(_heading(facts.arrived))
        parts.append(Padding(_columns(facts.arrived, width - 2), (0, 0, 0, 2)))
    if lacking := missing(facts):
        parts += ["", Text("Not found", style="bold"), Padding(_rows(lacking), (0, 0, 0, 2))]
    parts += ["", Text("Next", style="bold")]
    parts.append(
        Padding(_rows([(f"{number}.", step) for number, step in enumerate(steps(facts), 1)], ""), (0, 0, 0, 2))
    )
    return Group(*parts)


def _addresses(facts: Facts) -> list[tuple[str, str | Text]]:
    rows: list[tuple[str, str | Text]] = []
    urls, tunnel = facts.access
    if not urls:
        return [("Dashboards", "Grafana is not installed here (grafana_enabled: false)")]
    shown = [Text(each, style="bold cyan") for each in urls]
    if tunnel:
        rows.append(("Dashboards", Text.assemble("on this machine alone; from another one, run first")))
        rows.append(("", Text(tunnel, style="bold")))
        rows.append(("", Text.assemble("and open ", shown[0])))
    else:
        rows.append(("Dashboards", shown[0]))
        rows += [("", Text.assemble("or ", each)) for each in shown[1:]]
        if facts.own_authority and urls[0].startswith("https:"):
            rows.append(("", "the browser asks about the certificate, which this installation has made itself"))
    if facts.role == EDGE:
        rows.append(("Sign in", f"sudo sensetig info on {facts.site.hub} shows how"))
    else:
        rows.append(("User", facts.site.grafana_admin))
        rows.append(("Password", Text.assemble(password_command(facts.site), (" shows it", "dim"))))
    if documentation := _documentation(facts.site):
        rows.append(("Manual", documentation))
    return rows


def _documentation(site: Site) -> str:
    """The first page of the documentation site; empty if there is none."""
    return f"{site.documentation_url}/index.html" if site.documentation_url else ""


def _on_an_edge(facts: Facts) -> Text:
    if facts.problem:
        return Text(printable(facts.problem, MAX_TEXT), style="red")
    text = f"Telegraf sends them to {facts.site.influxdb_url}; only the hub can count them."
    if facts.waiting:
        return Text(f"{text} {facts.waiting:,} wait here for the hub.", style="yellow")
    return Text(text if facts.waiting is None else f"{text} None waits here.")


def _heading(arrived: Mapping[str, int]) -> Text:
    total = sum(arrived.values())
    style = "bold green" if total else "bold red"
    return Text.assemble(("Points in the last minute: ", "bold"), (f"{total:,}", style))


def _columns(arrived: Mapping[str, int], width: int) -> Table:
    """The measurements, in as many columns as fit, ordered downwards."""
    # Any writer can choose the names of measurements.
    shown = {printable(name, MAX_NAME): count for name, count in arrived.items() if not name.startswith(_TELEGRAFS_OWN)}
    names = sorted(shown)
    longest = max(map(len, names), default=0)
    digits = max((len(f"{shown[name]:,}") for name in names), default=0)
    columns = max(1, min(4, width // (longest + digits + 5)))
    height = -(-len(names) // columns)
    table = Table.grid(padding=(0, 1))
    for _ in range(columns):
        table.add_column(no_wrap=True, min_width=longest)
        table.add_column(justify="right", no_wrap=True, min_width=digits)
        table.add_column(min_width=1)
    for row in range(height):
        cells: list[str] = []
        for name in names[row::height]:
            cells += [name, f"{shown[name]:,}", ""]
        table.add_row(*cells)
    return table


def _block(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))


def _rows(rows: Sequence[tuple[str, str | Text]], style: str = "dim") -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style=style)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table
