"""Enrol this Pi at the hub. Runs with the operating system's Python and the standard library only.

    enrol.py FOLDER KEYS

FOLDER has settings.json (device, url), token and authority.crt; KEYS has this machine's public ssh keys. The hub is
authenticated only by the authority in FOLDER. The exit status is 3 if the hub has rejected the request.
"""

from __future__ import annotations

import glob
import json
import os
import ssl
import sys
import urllib.error
import urllib.request

REFUSED = 3


def main(folder: str, keys: str) -> int:
    """Send one request."""
    with open(os.path.join(folder, "settings.json"), encoding="utf-8") as file:
        settings = json.load(file)
    with open(os.path.join(folder, "token"), encoding="ascii") as file:
        token = file.read().strip()
    host_keys = []
    for path in sorted(glob.glob(os.path.join(keys, "ssh_host_*_key.pub"))):
        with open(path, encoding="ascii") as file:
            host_keys.append(" ".join(file.read().split()[:2]))
    body = json.dumps({"device": settings["device"], "token": token, "host_keys": host_keys}).encode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(os.path.join(folder, "authority.crt"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    if not settings["url"].startswith("https://"):
        raise ValueError("the hub is reached by https alone")
    request = urllib.request.Request(settings["url"], body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with opener.open(request, timeout=30) as answer:
            print(json.load(answer)["message"])
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace")
        print(f"the hub at {settings['url']} has refused (status {error.code}): {said}", file=sys.stderr)
        return REFUSED if error.code in (400, 403) else 1
    except OSError as error:
        reason = getattr(error, "reason", error)
        print(f"the hub at {settings['url']} cannot be reached, or is not the right one: {reason}", file=sys.stderr)
        return 1
    os.unlink(os.path.join(folder, "token"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
