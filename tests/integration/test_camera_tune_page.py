"""The page for tuning in a browser, on a camera that runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from playwright.sync_api import expect, sync_playwright
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from sensetig.demo.testbed import ports

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "0123456789abcdef" * 2
#: No test waits longer than this for anything, in milliseconds.
BOUND = 120_000


class Camera(NamedTuple):
    """A camera that runs: the address of its page, and its settings file."""

    url: str
    file: Path


@contextmanager
def running(command: list[str], file: Path, port: int) -> Iterator[Camera]:
    """A program with the control until the end of the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**environment, "PYTHONPATH": str(ROOT), "SENSETIG_SETTINGS": str(file)},
    )
    with process:
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(AssertionError), stop=stop_after_delay(120), wait=wait_fixed(0.2)
            ):
                with attempt:
                    assert process.poll() is None, "it has ended"
                    assert ports.is_listening(port)
            yield Camera(f"http://127.0.0.1:{port}/tune", file)
        finally:
            process.send_signal(signal.SIGINT)


@contextmanager
def opened(chromium: Path, camera: Camera, *, width: int = 1280, dark: bool = False) -> Iterator[Page]:
    """The page in a browser; an error in its program fails the test."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments, timeout=2 * BOUND)
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(BOUND)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
        page.goto(camera.url)
        yield page
        assert errors == []
        browser.close()


def test_settings_are_tried_used_and_saved_from_a_browser(chromium: Path, tmp_path: Path) -> None:
    file = tmp_path / "sensetig.toml"
    file.write_text("# the hall\n[camera]\nnoise_factor = 4.0\n")
    port = ports.any_free()
    command = ["sensetig", "camera", "tune", "scene:person", "--live", "--port", str(port)]
    with running(command, file, port) as camera, opened(chromium, camera) as page:
        expect(page.locator("#frame")).to_have_js_property("naturalWidth", 480, timeout=BOUND)
        expect(page.locator("#difference")).to_have_js_property("naturalWidth", 480, timeout=BOUND)
        assert page.locator("#save").is_disabled()
        page.locator("#set-least_difference").fill("25")
        page.locator("#set-least_difference").press("Enter")
        expect(page.locator("#verdict")).to_contain_text("threshold 25", timeout=BOUND)
        assert "least_difference" not in file.read_text()
        page.locator("#use").click()
        expect(page.locator("#message")).to_contain_text("until it is restarted", timeout=BOUND)
        assert page.locator("#save").is_disabled()
        page.locator("#set-min_area_percent").fill("2")
        page.locator("#set-min_area_percent").press("Enter")
        page.locator("#save").click()
        assert page.locator("#changes li").all_inner_texts() == ["min_area_percent = 2"]
        page.locator("#confirm-save").click()
        expect(page.locator("#message")).to_contain_text("Saved to ", timeout=BOUND)
        assert tomllib.loads(file.read_text())["camera"]["min_area_percent"] == 2.0
        assert file.read_text().startswith("# the hall\n")


@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_a_phone_in_both_themes(chromium: Path, tmp_path: Path, dark: bool) -> None:
    file, port = tmp_path / "sensetig.toml", ports.any_free()
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    file.write_text(
        f'[camera]\nbackend = "simulated"\ncontrol_port = {port}\ncontrol_tune = true\ncontrol_token_file = "{token}"\n'
    )
    command = ["collectors", "camera", "--execd"]
    with running(command, file, port) as camera, opened(chromium, camera, width=360, dark=dark) as page:
        page.locator("#token").fill("wrong")
        page.locator("#login button").click()
        expect(page.locator("#verdict")).to_contain_text("This token is not", timeout=BOUND)
        page.locator("#token").fill(TOKEN)
        page.locator("#login button").click()
        expect(page.locator("#frame")).to_have_js_property("naturalWidth", 480, timeout=BOUND)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        small = page.evaluate(
            "[...document.querySelectorAll('button, input')]"
            ".filter(each => each.checkVisibility() && each.getBoundingClientRect().height < 36).length"
        )
        assert small == 0, "fingers are wide"
        colours = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        light, page_light = (sum(map(int, each[4:-1].split(","))) for each in colours)
        assert (light > page_light) is dark
