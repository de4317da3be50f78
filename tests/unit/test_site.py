"""Where an installation is: the order of the places, addresses with secrets in them, and files with secrets."""

from __future__ import annotations

import json
import os
import tomllib
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from sensetig import bundle, site
from sensetig.__main__ import main
from sensetig.errors import SiteError


def written(top: Path, text: str) -> Path:
    """A fake root with a ``site.toml``."""
    folder = top / "etc" / "sensetig"
    folder.mkdir(parents=True)
    (folder / "site.toml").write_text(text, encoding="utf-8")
    return top


def test_without_an_installation_everything_is_on_this_machine_and_tokens_are_the_users(tmp_path: Path) -> None:
    found = site.load(tmp_path, tmp_path / "state")
    assert (found.influxdb_url, found.grafana_url) == ("http://127.0.0.1:8086", "http://127.0.0.1:3000")
    assert (found.tokens, found.live_tokens) == (tmp_path / "state" / "tokens", tmp_path / "state" / "live")


def test_a_service_without_a_home_reads_the_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the weekly report runs: its user is made at its start."""

    def homeless(*_: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_state_path", homeless)
    assert site.load(tmp_path).tokens == Path("/var/lib/sensetig/tokens")
    (tmp_path / "etc/sensetig").mkdir(parents=True)
    (tmp_path / "etc/sensetig/site.toml").write_text('tokens = "/etc/sensetig/tokens"\n')
    assert site.load(tmp_path).tokens == Path("/etc/sensetig/tokens")


def test_site_toml_comes_before_the_users_state(tmp_path: Path) -> None:
    top = written(tmp_path, 'influxdb_url = "https://loft:8086"\ntokens = "/etc/sensetig/tokens"\nlater_key = 1\n')
    found = site.load(top, tmp_path / "state")
    assert found.influxdb_url == "https://loft:8086"
    assert found.read_token_file == Path("/etc/sensetig/tokens/grafana.token")
    assert found.live_tokens == tmp_path / "state" / "live", "site.toml does not name it"


def test_a_hub_without_site_toml_is_found_by_its_file_with_the_address(tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "sensetig"
    folder.mkdir(parents=True)
    (folder / "influxdb-url").write_text("https://loft:8086\n", encoding="utf-8")
    found = site.load(tmp_path, tmp_path / "state")
    assert (found.influxdb_url, found.tokens) == ("https://loft:8086", folder / "tokens")
    assert found.grafana_password_file == folder / "tokens" / "grafana-admin.password"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("influxdb_url = ", "is not valid TOML"),
        ("influxdb_url = 8086", "it must be a text such as http://127.0.0.1:8086"),
    ],
)
def test_a_damaged_site_toml_is_one_sentence_with_its_path(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=sentence) as caught:
        site.load(written(tmp_path, text), tmp_path)
    assert "site.toml" in str(caught.value)


def test_a_site_toml_that_is_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "etc" / "sensetig" / "site.toml").mkdir(parents=True)
    with pytest.raises(SiteError, match="cannot be read: Is a directory"):
        site.load(tmp_path, tmp_path)


# --- the order: option, variable, deprecated variable, /etc -----------------------------------------

_STATUS = ("status", "--token-file")


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with a token, on a machine whose site.toml names an address where nothing answers."""
    monkeypatch.setattr(site, "TOP", written(tmp_path / "root", 'influxdb_url = "http://127.0.0.1:1/etc"\n'))
    file = tmp_path / "grafana.token"
    file.write_text("word")
    file.chmod(0o600)
    return str(file)


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ((), {}, "http://127.0.0.1:1/etc"),
        ((), {"SENSETIG_INFLUXDB_URL": "http://127.0.0.1:1/variable"}, "http://127.0.0.1:1/variable"),
        (
            ("--url", "http://127.0.0.1:1/option"),
            {"SENSETIG_INFLUXDB_URL": "http://127.0.0.1:1/variable"},
            "http://127.0.0.1:1/option",
        ),
        (
            (),
            {"SENSETIG_INFLUXDB_URL": "http://127.0.0.1:1/new", "SENSETIG_STATUS_URL": "http://127.0.0.1:1/old"},
            "http://127.0.0.1:1/new",
        ),
    ],
)
def test_an_option_comes_before_the_variable_and_that_before_etc(
    token: str, options: tuple[str, ...], variables: dict[str, str], expected: str
) -> None:
    done = CliRunner().invoke(main, [*_STATUS, token, *options], env=variables)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: InfluxDB at {expected} does not answer")


def test_a_variable_of_one_command_is_taken_with_one_line_of_deprecation(token: str) -> None:
    done = CliRunner().invoke(main, [*_STATUS, token], env={"SENSETIG_STATUS_URL": "http://127.0.0.1:1/old"})
    first, second = done.stderr.splitlines()
    assert first == "W! SENSETIG_STATUS_URL is deprecated: set SENSETIG_INFLUXDB_URL instead"
    assert second.startswith("Error: InfluxDB at http://127.0.0.1:1/old does not answer")


@pytest.mark.parametrize(
    "arguments",
    [
        *([name] for name in ("status", "report", "setup", "wall", "live")),
        *([name, "pi"] for name in ("retire", "revoke")),
        ["token", "list"],
        ["calibrate", "pi", "--readings", "influxdb"],
        ["restore", "backup.tar", "--yes"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_command_prints_the_password_of_an_address(arguments: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "tokens"
    secret.mkdir(mode=0o700)
    for name in ("operator.token", "telegraf.token", "grafana.token"):
        (secret / name).write_text("word")
        (secret / name).chmod(0o600)
    environment = {
        "SENSETIG_TOKENS": str(secret),
        "SENSETIG_READ_TOKEN_FILE": str(secret / "grafana.token"),
        "SENSETIG_GRAFANA_PASSWORD_FILE": str(secret / "grafana.token"),
        "SENSETIG_LIVE_TOKENS": str(secret),
    }
    url = "http://pi:sesame@127.0.0.1:1"
    done = CliRunner().invoke(main, [*arguments, "--url", url], env=environment, input="20\n\n")
    assert done.exit_code != 0
    assert "sesame" not in done.output
    if arguments[0] != "restore":  # it reads its file first
        assert "has a user or a password in it" in done.output


# --- addresses and secrets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8086",
        "ftp://host",
        "http://",
        "http://[::1",
        "http://host:port",
        "http://host/?a=b",
        "http://h/#a",
    ],
)
def test_an_invalid_address_is_rejected_with_an_example(url: str) -> None:
    with pytest.raises(SiteError, match="is not the URL of an InfluxDB; expected one such as http://127"):
        site.checked_url(url, "an InfluxDB", "http://127.0.0.1:8086")


@pytest.mark.parametrize(
    "url", ["http://pi:sesame@host", "http://pi:ses/ame@host", "pi:sesame@host", "ftp://pi:sesame@h"]
)
def test_an_address_that_is_refused_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(SiteError) as caught:
        site.checked_url(url, "an InfluxDB", "http://127.0.0.1:8086")
    assert "ses" not in str(caught.value)
    assert "ame" not in str(caught.value).replace("name", "")


def test_an_address_is_taken_without_the_slash_at_its_end() -> None:
    assert site.checked_url("https://[::1]:8086/path/", "an InfluxDB", "") == "https://[::1]:8086/path"


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n", encoding="utf-8")
    file.chmod(0o644)
    with pytest.raises(SiteError, match="chmod 600"):
        site.read_token(file)
    file.chmod(0o600)
    assert site.read_token(file) == "secret"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", "Schlüssel".encode(), b"a\x07b"])
def test_what_cannot_be_a_secret_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(SiteError, match=str(file)) as caught:
        site.read_token(file)
    assert "Schl" not in str(caught.value)


def test_a_password_may_have_other_characters(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("Schlüssel wort\n", encoding="utf-8")
    file.chmod(0o600)
    assert site.read_password(file) == "Schlüssel wort"


def test_where_root_alone_may_read_the_sentence_says_sudo(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    folder.mkdir(mode=0o700)
    (folder / "grafana.token").write_text("word")
    (folder / "grafana.token").chmod(0o600)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads of pytest, which the child does not use
        child = os.fork()
    if not child:  # the mode of a folder is nothing to root
        try:
            os.close(reading)
            os.setuid(65534)
            site.read_token(folder / "grafana.token")
        except SiteError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        said = told.read()
    assert said == f"the token file {folder / 'grafana.token'} cannot be read: Permission denied; run this with sudo"


def test_a_machine_other_than_the_hub_names_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "TOP", written(tmp_path, 'hub = "loft"\ntokens = "/no-such-folder"\n'))
    with pytest.raises(SiteError, match=r"No such file or directory; run this on the hub, loft$"):
        site.read_token(Path("/no-such-folder/grafana.token"))


# --- the playbook's output --------------------------------------------------------------------------


@pytest.mark.parametrize("is_hub", [True, False])
def test_the_playbook_writes_the_keys_that_are_read(is_hub: bool, tmp_path: Path) -> None:
    jinja2 = pytest.importorskip("jinja2")
    folder = bundle.root() / "ansible" / "roles" / "collectors" / "templates"
    environment = jinja2.Environment(trim_blocks=True, loader=jinja2.FileSystemLoader(folder))
    environment.filters |= {"to_json": json.dumps, "bool": bool}
    text = environment.get_template("site.toml.j2").render(
        ansible_managed="written by Ansible",
        sensetig_influxdb_url="http://127.0.0.1:8086" if is_hub else "https://loft",
        sensetig_grafana_here="http://127.0.0.1:3000",
        sensetig_web_port="",
        sensetig_documentation_url="https://loft/public/sensetig",
        sensetig_is_hub=is_hub,
        inventory_hostname="loft" if is_hub else "hall",
        groups={"hub": ["loft"]},
        sensetig_hub="loft",
        sensetig_hub_itself="loft",
        sensetig_scheme="https",
        sensetig_settings_folder="/etc/sensetig",
        sensetig_tokens="/etc/sensetig/tokens",
    )
    assert set(tomllib.loads(text)) <= set(site.Site._fields)
    found = site.load(written(tmp_path, text), tmp_path / "state")
    assert (found.organisation, found.bucket) == ("sensetig", "raw")
    assert found.documentation_url == "https://loft/public/sensetig"
    assert found.influxdb_url == ("http://127.0.0.1:8086" if is_hub else "https://loft")
    assert (found.hub == "loft") == (not is_hub)
    assert found.role == ("hub" if is_hub else "")
    assert (found.tokens == Path("/etc/sensetig/tokens")) == is_hub
    assert (found.grafana_url == "https://loft") == is_hub
