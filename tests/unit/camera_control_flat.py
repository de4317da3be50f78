"""Send a thousand requests to a camera's control, and print as JSON the growth of its process.

Run separately, because other work of a process, and memory shared with its children, would be counted as well.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.measure import private_bytes
from tests.unit.camera_control_support import ScriptedMedia, site, until

PATHS = ("/snapshot.jpg", "/healthz", "/events", "/media/a.jpg", "/take_photo", "/nothing", "/openapi.json")


def main(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(bytes(50_000))
    media = ScriptedMedia(str(folder))
    media.size = 50_000
    with site(media) as on:

        def hit(times: int) -> None:
            for number in range(times):
                media.asked.clear()
                on.show()
                assert on.ask(PATHS[number % len(PATHS)]).status in (200, 201, 404)

        # The server starts a worker when requests overlap, and keeps it: here more overlap than do in a row.
        with ThreadPoolExecutor(4) as clients:
            assert {answer.status for answer in clients.map(on.ask, ["/snapshot.jpg"] * 40)} == {200}
        hit(400)
        before, threads = private_bytes(os.getpid()), threading.active_count()
        hit(1000)
        kept = {"bytes": private_bytes(os.getpid()) - before, "threads": threading.active_count() - threads}
        until(lambda: not on.server._server.server_state.tasks)
    print(json.dumps(kept))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
