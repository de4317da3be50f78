"""compose.yaml: pinned images, least rights, bounds, and the same configuration as the playbook installs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from collectors.core.registry import catalogue
from collectors.core.settings import variable
from containers import proxy
from sensetig.declarations import collector_module
from tests.golden import ROOT

CONTAINERS = ROOT / "containers"
COMPOSE: dict[str, Any] = yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = ROOT / "ansible" / "roles"

#: Images that `make images` builds.
OWN = {"collectors", "camera", "vision", "proxy"}

#: The images of vendors, the role that pins the same version, and its variable.
VENDORS = {
    "influxdb": ("docker.io/library/influxdb", "influxdb", "influxdb_version"),
    "grafana": ("docker.io/grafana/grafana", "grafana", "grafana_version"),
    "telegraf": ("docker.io/library/telegraf", "telegraf", "telegraf_version"),
}

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?::?-([^}]*))?\}")


def plain(text: str) -> str:
    """A value with the defaults of its variables."""
    return _VARIABLE.sub(lambda match: match[2] or "", text).replace("$$", "$")


def role_default(role: str, name: str) -> Any:
    return yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8"))[name]


def environment(service: str) -> dict[str, str]:
    return {key: str(value) for key, value in SERVICES[service].get("environment", {}).items()}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_the_least_rights_and_bounds(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert service["restart"] in ("unless-stopped", "on-failure:10")
    assert service["logging"]["options"]["max-size"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a number, so that the engine can check it, and not 0"
    assert service["healthcheck"] == {"disable": True} if name == "setup" else service["healthcheck"]["test"]
    assert service["network_mode"] in ("host", "none")
    assert service["profiles"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_secret_is_a_file_and_never_a_variable(name: str) -> None:
    for key, value in environment(name).items():
        if re.search(r"(?i)token|password|secret|_key$", key):
            is_file = value.startswith(("/run/credentials/", "$$__file{/run/credentials/", "@{systemd:"))
            assert is_file or key == "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION", f"{key}: {value}"


def test_images_are_pinned_and_of_the_versions_that_the_playbook_installs() -> None:
    text = (CONTAINERS / "Containerfile").read_text(encoding="utf-8")
    images = {service["image"] for service in SERVICES.values()} | set(re.findall(r"^ARG \w+=(\S+)", text, re.M))
    for image in images:
        if image.startswith("$"):
            name = image.removeprefix("${SENSETIG_REGISTRY:-localhost}/sensetig-").removesuffix(
                ":${SENSETIG_TAG:-latest}"
            )
            assert name in OWN, image
        else:
            assert re.fullmatch(r"docker\.io/[a-z/-]+:\d+(\.\d+)+(-slim)?", image), image
    for image, role, key in VENDORS.values():
        version = str(role_default(role, key)).removesuffix("-1")
        assert f"{image}:{version}" in images


def mounts() -> list[tuple[str, str]]:
    return [(name, volume) for name, service in SERVICES.items() for volume in service.get("volumes", ())]


@pytest.mark.parametrize(("name", "volume"), mounts())
def test_every_mount_exists_and_is_read_only_or_a_volume(name: str, volume: str) -> None:
    source, target, *options = plain(volume).split(":")
    if source.startswith("."):
        assert (CONTAINERS / source).exists(), volume
        assert options == ["ro"]
    elif source.startswith("/"):
        assert (source, name) in {("/", name), ("/run/podman/podman.sock", "status")}
        assert source != "/" or options == ["ro,rslave"]
    else:
        assert source in COMPOSE["volumes"], volume
    if target == "/run/credentials":
        assert source.endswith("-secrets"), volume
        assert options == ["ro"]


def test_every_volume_is_used_and_only_setup_has_all_secrets() -> None:
    used = [(name, volume.split(":")[0]) for name, volume in mounts()]
    assert set(COMPOSE["volumes"]) == {source for _, source in used} & set(COMPOSE["volumes"])
    assert [name for name, source in used if source == "settings"] == ["setup"]
    for secrets in (volume for volume in COMPOSE["volumes"] if volume.endswith("-secrets")):
        others = {name.partition("-")[0] for name, source in used if source == secrets and name != "setup"}
        assert others == {secrets.removesuffix("-secrets")}


def test_a_folder_of_a_volume_has_an_owner_in_the_image() -> None:
    text = (CONTAINERS / "Containerfile").read_text(encoding="utf-8")
    for name, volume in mounts():
        source, target, *_ = volume.split(":")
        own = "sensetig-" in SERVICES[name]["image"] and "proxy" not in SERVICES[name]["image"]
        if own and source in COMPOSE["volumes"] and not target.startswith("/run/credentials"):
            assert re.search(rf"[ ]{re.escape(target)}[ \\\n]", text), f"{target} is not in the image bundle"


def test_profiles_start_the_services_they_need() -> None:
    def running(profile: str) -> set[str]:
        return {name for name, service in SERVICES.items() if profile in service["profiles"]}

    hub = {"setup", "influxdb", "grafana", "mosquitto", "outbox"}
    assert running("standalone") == hub | {"telegraf"}
    assert running("hub") == hub | {"telegraf", "receiver", "proxy"}
    assert running("simulated") == hub | {"telegraf-simulated", "camera-simulated"}
    assert running("edge") == {"outbox-edge", "telegraf-edge"}
    assert running("setup") == {"setup"}, "on an edge it runs by hand"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_restarts_whatever_the_others_do(name: str) -> None:
    """Podman restarts no container while one that it requires has ended, as setup has."""
    assert "depends_on" not in SERVICES[name]


def test_the_settings_of_influxdb_are_those_of_the_role() -> None:
    text = (ROLES / "influxdb" / "templates" / "config.toml.j2").read_text(encoding="utf-8")
    settings = dict(re.findall(r"^([a-z-]+) = (.+)$", text, re.M))
    given = environment("influxdb")
    for key, value in settings.items():
        name = f"INFLUXD_{key.upper().replace('-', '_')}"
        assert name in given, key
        if "{{" not in value and not key.endswith("-path"):
            assert given[name] == value.strip('"'), key


def test_the_settings_of_grafana_are_those_of_the_role() -> None:
    text = (ROLES / "grafana" / "templates" / "grafana.ini.j2").read_text(encoding="utf-8")
    given, section = environment("grafana"), ""
    # Set by the image, derived from the address, or optional.
    left = {"instance_name", "protocol", "domain", "data", "logs", "plugins", "provisioning"}
    for line in text.splitlines():
        if head := re.fullmatch(r"\[(.+)\]", line):
            section = head[1]
        found = re.fullmatch(r"([a-z_A-Z]+) = (.+)", line)
        if found is None or found[1] in left or section in ("smtp", "auth.anonymous"):
            continue
        name = f"GF_{section}_{found[1]}".upper().replace(".", "_")
        assert name in given, line
        if "{{" not in found[2]:
            assert given[name] == found[2], line


def test_variables_of_collectors_name_settings() -> None:
    known = {variable(name, each) for name in catalogue() for each in collector_module(name).SETTINGS}
    sections = {name.upper() for name in catalogue()}
    for service in SERVICES:
        for key in environment(service):
            section = key.removeprefix("SENSETIG_").partition("_")[0]
            if key.startswith("SENSETIG_") and section in sections - {"OUTBOX", "MQTT"}:
                assert key in known, key


def test_env_example_names_the_variables_of_the_compose_files() -> None:
    text = "".join((CONTAINERS / name).read_text(encoding="utf-8") for name in ("compose.yaml", "sensehat.yaml"))
    read = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    named = set(re.findall(r"^#?([A-Z0-9_]+)=", (CONTAINERS / ".env.example").read_text(encoding="utf-8"), re.M))
    rare = {
        "SENSETIG_INFLUXDB_CACHE_BYTES",
        "SENSETIG_INFLUXDB_QUERY_BYTES",
        "SENSETIG_PROXY_ADDRESS",
        "SENSETIG_SENSEHAT_BACKEND",
        "SENSETIG_I2C_DEVICE",
        "SENSETIG_FRAMEBUFFER",
        "COMPOSE_PROJECT_NAME",
    }
    assert read - named == rare
    assert named - read == {"COMPOSE_PROFILES", "COMPOSE_FILE"}
    assert "name: sensetig\n" in text


def test_the_proxy_has_the_template_of_the_role() -> None:
    rendered = proxy.render(ROLES / "proxy" / "templates")
    assert "listen @ADDRESS@:@PORT@ ssl;" in rendered["sensetig.conf"]
    assert "proxy_pass http://unix:/run/sensetig-receiver/write.sock;" in rendered["sensetig.conf"]
    assert "proxy_pass http://127.0.0.1:@GRAFANA_PORT@;" in rendered["sensetig.conf"]
    assert "include /run/sensetig-proxy/sensetig.conf;" in rendered["nginx.conf"]
    script = (CONTAINERS / "run-proxy").read_text(encoding="utf-8")
    assert all(f"s/{place}/" in script for place in set(re.findall(r"@[A-Z_]+@", "".join(rendered.values()))))


def test_a_new_variable_of_the_proxy_s_template_stops_the_build(tmp_path: Path) -> None:
    for name in proxy.FILES:
        (tmp_path / f"{name}.j2").write_text("{{ proxy_new }}\n")
    with pytest.raises(jinja2.UndefinedError, match="proxy_new"):
        proxy.render(tmp_path)


def test_the_broker_s_template_has_one_variable() -> None:
    text = (ROLES / "mosquitto" / "templates" / "tls.conf.j2").read_text(encoding="utf-8")
    assert set(re.findall(r"{{ (\w+) }}", text)) == {"ansible_managed", "mosquitto_tls_port"}


def run_telegraf(tmp_path: Path, **environ: str) -> tuple[int, list[str], str]:
    """The script with a program in Telegraf's place, on the snippets of the checkout."""
    (tmp_path / "telegraf").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "telegraf").chmod(0o755)
    script = (
        (CONTAINERS / "run-telegraf").read_text(encoding="utf-8").replace("/opt/sensetig/telegraf", f"{ROOT}/telegraf")
    )
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.split(), done.stderr


def snippets(arguments: list[str]) -> list[str]:
    return [str(Path(argument).relative_to(ROOT / "telegraf")) for argument in arguments if argument.endswith(".conf")]


def test_telegraf_gets_the_named_snippets_each_once(tmp_path: Path) -> None:
    status, arguments, _ = run_telegraf(
        tmp_path,
        SENSETIG_COLLECTORS="system clock system",
        SENSETIG_HUB_COLLECTORS="health",
        SENSETIG_SPOOLS="camera vision container",
        SENSETIG_SENSEHAT_SYS_ROOT=str(tmp_path),
    )
    assert status == 0
    assert snippets(arguments) == [
        "telegraf.conf",
        "telegraf.d/system.conf",
        "telegraf.d/clock.conf",
        "hub/health.conf",
        "alternatives/camera-spool.conf",
        "alternatives/vision-spool.conf",
        "alternatives/container-spool.conf",
    ]


def test_telegraf_gets_the_sense_hat_if_there_is_one_or_a_backend(tmp_path: Path) -> None:
    assert snippets(run_telegraf(tmp_path, SENSETIG_SENSEHAT_BACKEND="simulated")[1]) == [
        "telegraf.conf",
        "telegraf.d/sensehat.conf",
    ]
    board = tmp_path / "firmware" / "devicetree" / "base" / "hat"
    board.mkdir(parents=True)
    (board / "product").write_bytes(b"Sense HAT\0")
    assert snippets(run_telegraf(tmp_path, SENSETIG_SENSEHAT_SYS_ROOT=str(tmp_path))[1]) == [
        "telegraf.conf",
        "telegraf.d/sensehat.conf",
        "telegraf.d/joystick.conf",
    ]


def test_a_snippet_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    status, _, said = run_telegraf(tmp_path, SENSETIG_COLLECTORS="sytem")
    assert status == 1
    assert said.startswith("E! there is no snippet telegraf/telegraf.d/sytem.conf: correct SENSETIG_COLLECTORS")


def test_the_images_for_push_are_for_both_architectures() -> None:
    make = shutil.which("make")
    assert make is not None
    for engine, words in (("podman", "podman manifest push --all"), ("docker", "docker buildx build")):
        command = [make, "-n", "push-images", f"ENGINE={engine}", "REGISTRY=example.org/me", "TAG=1.0"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert words in done.stdout
        assert "--platform linux/amd64,linux/arm64" in done.stdout
        assert "example.org/me/sensetig-$image:1.0" in done.stdout
    refused = subprocess.run([make, "push-images"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "say where: make push-images REGISTRY=" in refused.stderr


def test_the_build_sends_only_files_that_the_images_copy() -> None:
    text = (CONTAINERS / "Containerfile").read_text(encoding="utf-8")
    copied = {path for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for path in line.split()[:-1]}
    admitted = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    ]
    assert all(any(path == each or path.startswith(f"{each}/") for each in admitted) for path in copied), copied
    assert all((ROOT / path).exists() for path in copied)
    assert all(any(path == each or path.startswith(f"{each}/") for path in copied) for each in admitted), admitted
