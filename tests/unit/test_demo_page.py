"""The page that the demo serves without a Grafana."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import urllib3

from sensetig.demo.served import REFRESH_SECONDS, Page, PageServer
from sensetig.demo.testbed import ports
from sensetig.errors import ReportError


class Drawing:
    """Draws a page with its number, or raises."""

    def __init__(self) -> None:
        self.count = 0
        self.error = ""

    def __call__(self) -> bytes:
        if self.error:
            raise ReportError(self.error)
        self.count += 1
        return f"<html>{self.count}</html>".encode()


@pytest.fixture
def drawing() -> Drawing:
    """What draws the page."""
    return Drawing()


def at_once(work: Callable[[], None]) -> None:
    """Draws before the browser gets its answer, so that a test sees the outcome."""
    work()


@pytest.fixture
def served(drawing: Drawing) -> Iterator[str]:
    """The page's address."""
    with PageServer(Page(drawing, lambda: 0.0, at_once), ports.any_free()) as server:
        yield server.url


def test_the_page_is_drawn_again_when_it_is_old_and_not_before(drawing: Drawing) -> None:
    now = [0.0]
    page = Page(drawing, lambda: now[0], at_once)
    assert page.answer().content == b"<html>1</html>"
    now[0] = REFRESH_SECONDS - 0.1
    assert page.answer().content == b"<html>1</html>"
    now[0] = float(REFRESH_SECONDS)
    assert page.answer() == (200, b"<html>2</html>", REFRESH_SECONDS)


def test_a_browser_does_not_wait_for_a_slow_drawing(drawing: Drawing) -> None:
    waiting: list[Callable[[], None]] = []
    now = [0.0]
    page = Page(drawing, lambda: now[0], waiting.append)
    first = page.answer()
    assert (first.status, b"being drawn" in first.content) == (503, True)
    assert page.answer().status == 503
    assert len(waiting) == 1, "one drawing at a time"
    waiting.pop()()
    assert page.answer().content == b"<html>1</html>"
    now[0] = float(REFRESH_SECONDS)
    assert page.answer().content == b"<html>1</html>"
    waiting.pop()()
    assert page.answer().content == b"<html>2</html>"


def test_the_process_waits_for_a_drawing_when_it_ends() -> None:
    code = """
import threading
from sensetig.demo.served import Page
begun, main = threading.Event(), threading.current_thread()

def draw():
    begun.set()
    main.join()
    print("drawn")
    return b""

Page(draw).answer()
begun.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "drawn\n", "")


def test_a_page_that_cannot_be_drawn_yet_is_a_sentence_that_asks_again(drawing: Drawing) -> None:
    drawing.error = "no point of <device> has arrived yet"
    page = Page(drawing, lambda: 0.0, at_once)
    answer = page.answer()
    assert answer.status == 503
    assert b"no point of &lt;device&gt; has arrived yet" in answer.content
    assert 0 < answer.refresh_seconds < REFRESH_SECONDS
    drawing.error = ""
    assert page.answer().status == 200


def test_the_last_page_stays_while_it_cannot_be_drawn(drawing: Drawing) -> None:
    now = [0.0]
    page = Page(drawing, lambda: now[0], at_once)
    assert page.answer().status == 200
    now[0], drawing.error = float(REFRESH_SECONDS), "InfluxDB does not answer"
    assert page.answer() == (200, b"<html>1</html>", REFRESH_SECONDS)


def test_a_browser_gets_the_page_and_when_to_ask_again(served: str) -> None:
    answer = urllib3.request("GET", served)
    assert (answer.status, answer.data) == (200, b"<html>1</html>")
    assert answer.headers["Refresh"] == str(REFRESH_SECONDS)
    assert answer.headers["Cache-Control"] == "no-store"
    assert urllib3.request("GET", served + "other").status == 404


def test_the_page_is_not_for_sites_whose_name_resolves_to_loopback(served: str, drawing: Drawing) -> None:
    answer = urllib3.request("GET", served, headers={"Host": "evil.example"}, retries=False)
    assert answer.status == 421
    assert drawing.count == 0


def test_the_server_ends_with_the_context(drawing: Drawing) -> None:
    with PageServer(Page(drawing, start=at_once), ports.any_free()) as server:
        url = server.url
        assert urllib3.request("GET", url, retries=False).status == 200
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", url, retries=False)


def test_a_browser_that_leaves_early_is_not_reported(capfd: pytest.CaptureFixture[str]) -> None:
    large = b"x" * 50_000_000  # more than the buffers of a connection hold, so that the server is still sending
    with PageServer(Page(lambda: large, start=at_once), ports.any_free()) as server:
        host, port = server.url.removeprefix("http://").rstrip("/").split(":")
        with socket.create_connection((host, int(port))) as browser:
            # Closing with unread data resets the connection.
            browser.sendall(f"GET / HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
            browser.recv(1)
        # It still answers others, and the thread of the first one has ended.
        assert urllib3.request("GET", server.url + "other", retries=False).status == 404
    for thread in threading.enumerate():
        if "process_request" in thread.name:
            thread.join()
    assert capfd.readouterr().err == ""
