"""Take the pictures of the README and of docs/ in an ordinary window of a real Grafana: ``python -m tools.pictures``.

*Environment* and *Camera* show a demo that has run for some minutes, as it is. *Fleet* and *Device* show made-up
devices, each with one fault, since a demo has one device, which is well. The folder is ``docs/pictures``.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import BrowserContext, sync_playwright

from sensetig import bundle
from sensetig.engines import locate
from sensetig.report.export import browser as chromium
from tests.browser import kinds
from tests.browser.conftest import PATIENCE_MS, launch, running
from tests.browser.look import SIZES, View
from tests.integration.conftest import prepared

FOLDER = bundle.root() / "docs" / "pictures"

#: A picture is smaller than this in bytes.
MAX_BYTES = 150_000

#: Colours of a picture, the most first: a page has few, and photographs in it take the more.
_COLOURS = (256, 128, 64, 32)

#: Pictures of *Device*: a person has to see within seconds whether the Pi is well, and why not.
DEVICES = {
    "healthy": kinds.KINDS["healthy"],
    **kinds.FAULTS,
    "dead": kinds.KINDS["dead"],
}


class Shot(NamedTuple):
    """A picture: its file, the dashboard's uid and variables, its theme and size, and the height shown.

    Args:
        height: in pixels; a phone shows its window, a desk may show more.
    """

    name: str
    uid: str
    device: str
    theme: str
    size: str
    height: int
    more: str = ""


def of_fleet() -> Iterator[Shot]:
    """Pictures of made-up devices."""
    yield Shot("fleet-light", "sensetig-fleet", kinds.HUB, "light", "1440", 900)
    for name, kind in DEVICES.items():
        yield Shot(f"device-{name}-1280", "sensetig-device", kind.name, "dark", "1280", 800)
        yield Shot(f"device-{name}-390", "sensetig-device", kind.name, "dark", "390", 844)
    yield Shot("device-healthy-1280-light", "sensetig-device", DEVICES["healthy"].name, "light", "1280", 800)


def of_demo(minutes: int) -> Iterator[Shot]:
    """Pictures of a demo."""
    # Without the first minutes: a machine that has just started everything is warmer than it is later.
    span = f"&from=now-{max(minutes - 3, 1)}m&to=now"
    yield Shot("environment-dark", "sensetig-environment", "", "dark", "1440", 1000, span)
    yield Shot("camera-dark", "sensetig-camera", "", "dark", "1440", 1000, span)


def take(context: BrowserContext, url: str, shot: Shot, folder: Path) -> None:
    """Open the page, wait until everything in sight is drawn, and write the picture. Raises ValueError if too large."""
    view = View(context, url)
    width, _ = SIZES[shot.size]
    # A demo has one device, which is the one that a page opens with.
    device = f"&var-host={shot.device}" if shot.device else ""
    view.open(f"/d/{shot.uid}?theme={shot.theme}{device}&refresh=5m{shot.more}", shot.size)
    view.page.set_viewport_size({"width": width, "height": shot.height})
    view.drawn(view.in_sight())
    picture = view.page.screenshot()
    view.page.close()
    write(Image.open(io.BytesIO(picture)), folder / f"{shot.name}.png")


def write(picture: Image.Image, file: Path) -> None:
    """Write a picture with as many colours as fit into MAX_BYTES. Raises ValueError if none fits."""
    for colours in _COLOURS:
        written = io.BytesIO()
        few = picture.convert("RGB").quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(written, format="PNG", optimize=True)
        if written.tell() <= MAX_BYTES:
            file.write_bytes(written.getvalue())
            print(f"{file.name}: {written.tell() / 1000:.0f} kB, {colours} colours")
            return
    raise ValueError(f"{file} would be larger than {MAX_BYTES} bytes: show less of the page")


@contextmanager
def demo(folder: Path, minutes: int) -> Iterator[dict[str, Any]]:
    """The summary of a demo that has run for some minutes; its engines run until the end."""
    command = [sys.executable, "-m", "sensetig", "demo", "--state", str(folder / "state")]
    summary = folder / "summary.json"
    try:
        subprocess.run([*command, "--for", f"{minutes * 60}s", "--keep", "--json", str(summary)], check=False)
        yield json.loads(summary.read_text(encoding="utf-8"))
    finally:
        subprocess.run([*command, "--stop"], check=True)


def main(arguments: Sequence[str]) -> int:
    """Take the pictures; 1 where something is missing."""
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__)
    parser.add_argument("--minutes", type=int, default=8, help="how long the demo runs")
    parser.add_argument("--only", choices=("fleet", "demo"), help="take a part of them")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go")
    options = parser.parse_args(arguments)
    home, influxd = locate("grafana"), locate("influxd")
    if home is None or influxd is None:
        print("pictures need Grafana and InfluxDB: set GRAFANA_HOME and run make engines", file=sys.stderr)
        return 1
    options.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sensetig-pictures-")))
        playwright = stack.enter_context(sync_playwright())
        browser = launch(playwright, chromium())
        stack.callback(browser.close)
        context = browser.new_context(reduced_motion="reduce", locale="en-GB", timezone_id="UTC")
        context.set_default_timeout(PATIENCE_MS)
        if options.only != "demo":
            influxdb = stack.enter_context(prepared(influxd.path, folder))
            devices = (*kinds.KINDS.values(), *kinds.FAULTS.values())
            site = stack.enter_context(running(home.path, influxdb, folder, devices))
            for shot in of_fleet():
                take(context, site.url, shot, options.folder)
        if options.only != "fleet":
            summary = stack.enter_context(demo(folder, options.minutes))
            for shot in of_demo(options.minutes):
                take(context, summary["grafana_url"], shot, options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
