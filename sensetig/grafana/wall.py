"""The playlist for a wall display. Grafana cannot provision playlists, so it is created over its HTTP API.

https://grafana.com/docs/grafana/latest/developer-resources/api-reference/http-api/playlist/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sensetig.errors import SetupError
from sensetig.grafana.server import Server

#: The playlist's name, which identifies it for updates and for playing.
NAME, TITLE = "sensetig-wall", "SenseTIG on the wall"

#: The dashboards that rotate by default.
DASHBOARDS = ("fleet", "environment", "camera")

_GROUP = "/apis/playlist.grafana.app"

Say = Callable[[str], None]


def specification(dashboards: Sequence[str], seconds: int) -> dict[str, object]:
    """Grafana's representation of the playlist.

    >>> specification(["fleet"], 30)["items"]
    [{'type': 'dashboard_by_uid', 'value': 'sensetig-fleet'}]
    """
    items = [{"type": "dashboard_by_uid", "value": f"sensetig-{key}"} for key in dashboards]
    return {"title": TITLE, "interval": f"{seconds}s", "items": items}


def prepare(server: Server, dashboards: Sequence[str], seconds: int, say: Say) -> str:
    """Create or repair the playlist; return the path that plays it.

    Raises SetupError if Grafana does not respond, rejects a request, or is older than 12.
    """
    server.sign_in()
    group = server.resource("look for playlists", _GROUP)
    if group is None:
        raise SetupError(f"Grafana at {server.url} is older than 12: make the playlist by hand, under Dashboards")
    version = group["preferredVersion"]["groupVersion"]
    folder = f"/apis/{version}/namespaces/default/playlists"
    wanted = specification(dashboards, seconds)
    there = server.resource("read the playlist", f"{folder}/{NAME}")
    body = {"apiVersion": version, "kind": "Playlist", "metadata": {"name": NAME}, "spec": wanted}
    if there is None:
        server.send("make the playlist", "POST", folder, body)
        say(f"playlist {NAME} made: {', '.join(dashboards)}, {seconds} s each")
    elif there["spec"] != wanted:
        body["metadata"] = {"name": NAME, "resourceVersion": there["metadata"]["resourceVersion"]}
        server.send("change the playlist", "PUT", f"{folder}/{NAME}", body)
        say(f"playlist {NAME} changed: {', '.join(dashboards)}, {seconds} s each")
    return f"/playlists/play/{NAME}?kiosk"
