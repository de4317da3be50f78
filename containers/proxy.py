"""Renders the role proxy's templates for its image: ``proxy.py TEMPLATES FOLDER``.

Addresses and ports are placeholders, which run-proxy replaces when the container starts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2

#: The variables of the templates (ansible/roles/proxy/vars and defaults) in a container.
VARIABLES = {
    "ansible_managed": "Rendered from ansible/roles/proxy/templates.",
    "proxy_folder": "/run/sensetig-proxy",
    "proxy_address": "@ADDRESS@",
    "proxy_port": "@PORT@",
    "proxy_grafana_port": "@GRAFANA_PORT@",
    "proxy_receiver": "http://unix:/run/sensetig-receiver/write.sock",
    "proxy_certificate": "/run/credentials/tls.crt",
    "proxy_key": "/run/credentials/tls.key",
    "proxy_authority": "/run/credentials/authority.crt",
    "proxy_revoked": "/run/credentials/revoked.crl",
    # The camera's container has no HTTP control.
    "proxy_camera_ports": [],
    # New Pis enrol at an installed hub only.
    "proxy_enrolment_port": 0,
}

FILES = ("nginx.conf", "sensetig.conf")


def render(templates: Path) -> dict[str, str]:
    """The text of each file. Raises jinja2.UndefinedError where a template needs another variable."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - settings of nginx, not a page
    )
    return {name: environment.get_template(f"{name}.j2").render(VARIABLES) for name in FILES}


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.mkdir(parents=True)
    for name, text in render(Path(sys.argv[1])).items():
        (target / name).write_text(text, encoding="utf-8")
