"""The tutorials on booted machines: their commands are typed as the pages print them, in the pages' order."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import urllib3
import yaml

from tests.blocks import COMMANDS, Block, blocks
from tests.e2e.conftest import folder_of_run
from tests.e2e.machines import USER, Machine
from tests.e2e.playbook import PROJECT
from tests.e2e.site import Site, booted
from tests.e2e.test_fleet import NotYet, eventually, reachable
from tests.e2e.test_install import Berry, Done, copy_checkout, let_in, name_host, settings_of, use_package_index
from tests.e2e.test_trust import put_on_card

#: Where the machines clone the project from, in place of the `…` of the pages.
REPOSITORY = "/srv/sensetig"

#: Settings of other tests: the reader names the site, and has no simulated Sense HAT.
_OF_OTHER_TESTS = ("common_site", "collectors_settings")


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """A block with the changes that its page asks the reader to make."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in {text!r}"
        text = text.replace(old, new)
    return text


class Walk:
    """Follows a tutorial on a machine: each block of commands or settings is used once, in order.

    Args:
        berry: the machine that the commands are typed on.
        page: the tutorial, from the root of the project.
    """

    def __init__(self, berry: Berry, page: str) -> None:
        self.berry = berry
        self._blocks = iter(
            [block for block in blocks() if block.page == page and block.language in (*COMMANDS, "yaml")]
        )

    def _next(self, start: str) -> Block:
        block = next(self._blocks, None)
        assert block is not None, f"the page has no further block; expected one that starts with {start!r}"
        assert block.content.startswith(start), f"{block.name} does not start with {start!r}"
        return block

    def types(self, start: str, *, folder: str = "~", changes: Mapping[str, str] | None = None) -> Done:
        """Type the next block.

        Args:
            start: how the block starts.
            folder: the working directory.
            changes: replacements in the commands, which the page requires of the reader.
        """
        commands = replaced(self._next(start).commands, changes or {})
        return self.berry.typed(f"set -e; cd {folder}\n{commands}")

    def follows(self, start: str, until: str) -> None:
        """Type the next block, whose command runs for ever, and stop it when it has printed some words."""
        command = ["ssh", *self.berry.machine.ssh_options, f"{USER}@{self.berry.machine.address}"]
        with subprocess.Popen(
            [*command, self._next(start).commands], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            overdue = threading.Timer(1500, process.kill)
            overdue.start()
            try:
                said = ""
                for line in process.stdout:
                    said += line
                    if until in line:
                        break
                assert until in said, said
            finally:
                overdue.cancel()
                process.kill()

    def sets(self, start: str) -> None:
        """Add the next block of settings to config.yml."""
        content = self._next(start).content
        path = settings_file(self.berry)
        before = yaml.safe_load(path.read_text()) or {}
        added = yaml.safe_load(content)
        assert not set(before) & set(added), "the setting is there already"
        path.write_text(f"{path.read_text()}\n{content}")

    def copies(self, start: str, path: str, changes: Mapping[str, str] | None = None) -> None:
        """Write the next block into a file of the reader's home folder."""
        content = replaced(self._next(start).content, changes or {})
        (self.berry.machine.system / "home" / USER / path).write_text(content)

    def skips(self, start: str) -> None:
        """Leave out the next block, which the caller has done in another way."""
        self._next(start)

    def ends(self) -> None:
        """Verify that no block was left out."""
        left = next(self._blocks, None)
        assert left is None, f"{left.name} was not run" if left else ""


def publish_checkout(machine: Machine) -> None:
    """Make the checkout a repository on the machine, as its own commit."""
    folder = copy_checkout(machine, REPOSITORY)
    identity = ["-c", "user.name=e2e", "-c", "user.email=e2e@localhost"]
    for words in (["init", "--quiet"], ["add", "--force", "--all"], [*identity, "commit", "--quiet", "--message=e2e"]):
        subprocess.run(["git", "-c", f"safe.directory={folder}", *words], cwd=folder, check=True)
    machine.ssh(f"chown -R {USER}: {REPOSITORY}")


def settings_file(berry: Berry) -> Path:
    """The user's settings of an installation, where this machine sees them."""
    return berry.machine.system / "etc/sensetig/config.yml"


def mirrors(site: Site) -> str:
    """The settings of a machine without the internet: where the packages are."""
    return yaml.safe_dump({name: value for name, value in settings_of(site).items() if name not in _OF_OTHER_TESTS})


def prepare(site: Site, machine: Machine) -> Berry:
    """A Pi as its owner has it: a clean system, and mirrors in place of the internet."""
    use_package_index(site, machine)
    publish_checkout(machine)
    berry = Berry(site, machine)
    path = settings_file(berry)
    path.parent.mkdir()
    path.write_text(f"{(PROJECT / 'ansible/example.config.yml').read_text()}\n{mirrors(site)}")
    # As on Raspberry Pi OS, the owner may read the journal.
    machine.ssh(f"usermod --append --groups adm {USER}")
    return berry


@contextmanager
def pi(name: str) -> Iterator[Berry]:
    """A machine of that name, with git and nothing else."""
    with (
        folder_of_run("playbooks-tutorials.log") as folder,
        booted(folder, [(name, "standalone", "trixie")], packages=["git"]) as site,
    ):
        yield prepare(site, site.machines[name])


def uncomment_alerts(berry: Berry) -> None:
    """Remove the ``#`` from the example of alerts in config.yml, as an editor would."""
    path = settings_file(berry)
    text, changed = re.subn(
        r"^# grafana_alerts:\n((?:#   .*\n)+)",
        lambda match: "grafana_alerts:\n" + match[1].replace("#   ", "  "),
        path.read_text(),
        flags=re.MULTILINE,
    )
    assert changed == 1
    path.write_text(text)


def found_dashboards(berry: Berry, password: str) -> set[str]:
    """The titles of the dashboards that the account `admin` finds at the address of the page."""
    headers = urllib3.make_headers(basic_auth=f"admin:{password}")
    # As in a browser whose user accepts the certificate.
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    with urllib3.HTTPSConnectionPool(berry.machine.address, cert_reqs="CERT_NONE", assert_hostname=False) as pool:
        answer = pool.request("GET", "/api/search?type=dash-db", headers=headers, timeout=60)
    assert answer.status == 200, answer.data
    return {found["title"] for found in answer.json()}


def test_your_first_pi() -> None:
    with pi("attic") as attic:
        walk = Walk(attic, "docs/tutorials/first-pi.md")
        walk.skips("ssh pi@attic.local")
        done = walk.types("sudo apt update", changes={"…": REPOSITORY})
        assert re.search(r"^SenseTIG \S+ on attic, on its own$", done.output, re.MULTILINE)
        assert re.search(r"^Points in the last minute: \d+$", done.output, re.MULTILINE)
        assert "Install Telegraf, which runs the collectors and writes their points" in done.output
        assert 'common_site: "home"' in settings_file(attic).read_text()
        assert attic.points("attic") > 0
        shown = attic.site.config["grafana_enabled"]
        if shown:
            assert 443 in reachable(attic.machine)
            assert re.search(r"^Dashboards  https://attic\.local\s*$", done.output, re.MULTILINE)
            password = walk.types("sudo cat /etc/sensetig/tokens/grafana-admin.password").output.strip()
            assert {"Fleet", "Device", "Environment"} <= found_dashboards(attic, password)
        else:
            walk.skips("sudo cat /etc/sensetig/tokens/grafana-admin.password")
        uncomment_alerts(attic)
        walk.skips("grafana_alerts:")
        again = attic.install()
        assert "Send alerts to a phone" not in again.output
        assert "✖" not in walk.types("sudo sensetig doctor").output
        walk.ends()


def test_a_classroom() -> None:
    with pi("hub") as hub:
        walk = Walk(hub, "docs/tutorials/classroom.md")
        walk.skips("export SENSETIG_SIMULATE_TOKEN")
        done = walk.types("git clone", changes={"…": REPOSITORY})
        assert re.search(r"^SenseTIG \S+ on hub, the hub$", done.output, re.MULTILINE)
        walk.sets("grafana_anonymous: true")
        hub.typed("cd sensetig && sudo ./install")
        tickets = walk.types("for number in $(seq -w 1 30)").output.splitlines()
        assert len(tickets) == 30
        assert re.fullmatch(r"tickets/pi01 has user-data and firstrun.sh, which let pi01 in once, until .*", tickets[0])
        script = hub.machine.ssh(f"cat /home/{USER}/tickets/pi01/firstrun.sh").stdout
        with hub.site.newcomer("pi01", "trixie") as machine:
            name_host(machine, hub.machine)
            use_package_index(hub.site, machine)
            put_on_card(machine, script)
            machine.start()
            walk.follows("journalctl -u sensetig-enrolment -u sensetig-enrolled -f", "pi01 is installed")
            assert hub.points("pi01") > 0
            walk.sets("telegraf_extra_collectors: [sensehat]")
            hub.typed("cd sensetig && sudo ./install")
            hub.typed("sudo /opt/sensetig/controller/venv/bin/sensetig enrol upgrade")
            for attempt in eventually(300):
                with attempt:
                    if '"pi01"' not in hub.typed("sudo sensetig status --json").output:
                        raise NotYet("pi01 is not in the status")
            if hub.site.config["grafana_enabled"]:
                assert "https://" in walk.types("sudo sensetig wall").output
            else:
                walk.skips("sudo sensetig wall")
            # Of the thirty, one was switched on.
            retired = walk.types(
                "for number in $(seq -w 1 30); do sudo sensetig retire", changes={"$(seq -w 1 30)": "01"}
            )
            assert re.search(r"^pi01 .* is retired$", retired.output, re.MULTILINE)
            walk.ends()


def test_a_fleet() -> None:
    members = [("hub", "standalone", "trixie"), ("hall", "standalone", "trixie")]
    with folder_of_run("playbooks-tutorials.log") as run, booted(run, members) as site:
        machines = site.machines
        for machine in machines.values():
            use_package_index(site, machine)
        hub = Berry(site, machines["hub"])
        let_in(hub, *machines.values())
        name_host(machines["hall"], hub.machine)
        copy_checkout(hub.machine)
        walk = Walk(hub, "docs/tutorials/fleet.md")
        assert "ansible-playbook [core " in walk.types("python3 -m venv", folder="sensetig").output
        here = "sensetig/ansible && . ~/sensetig-ansible/bin/activate"
        # The second edge would be installed as the first.
        walk.copies("hub:", "sensetig/ansible/inventories/fleet/hosts.yml", {"    loft.local:\n": ""})
        config = hub.machine.system / "home" / USER / "sensetig/ansible/config.yml"
        config.write_text(f"{config.read_text()}\n{mirrors(site)}")
        walk.skips("ansible-vault create")
        walk.types("ansible-playbook site.yml", folder=here)
        recap = walk.types("ansible-playbook site.yml", folder=here).output
        assert len(re.findall(r"^\S+\.local .*unreachable=0 +failed=0", recap, re.MULTILINE)) == 2
        for attempt in eventually(120):
            with attempt:
                # A busy host is none of the tutorial's concerns, and may be named in the column Why.
                status = hub.typed("sudo sensetig status").output
                if len(re.findall(r" (?:hub|hall) +online ", status)) != 2:
                    raise NotYet(status)
        walk.skips("sudo sensetig status")
        config.write_text(f"{config.read_text()}enrolment_enabled: true\n")
        hub.typed(
            f"cd {here} && ansible-playbook site.yml -i inventories/fleet/hosts.yml -e @config.yml --limit hub.local"
        )
        assert "let attic in once" in walk.types("sudo sensetig enrol create attic").output
        walk.ends()
