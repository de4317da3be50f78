"""The page that the demo serves without a Grafana."""

from __future__ import annotations

from collections.abc import Iterator

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


@pytest.fixture
def served(drawing: Drawing) -> Iterator[str]:
    """The page's address."""
    with PageServer(Page(drawing, lambda: 0.0), ports.any_free()) as server:
        yield server.url


def test_the_page_is_drawn_again_when_it_is_old_and_not_before(drawing: Drawing) -> None:
    now = [0.0]
    page = Page(drawing, lambda: now[0])
    assert page.answer().content == b"<html>1</html>"
    now[0] = REFRESH_SECONDS - 0.1
    assert page.answer().content == b"<html>1</html>"
    now[0] = float(REFRESH_SECONDS)
    assert page.answer() == (200, b"<html>2</html>", REFRESH_SECONDS)


def test_a_page_that_cannot_be_drawn_yet_is_a_sentence_that_asks_again(drawing: Drawing) -> None:
    drawing.error = "no point of <device> has arrived yet"
    page = Page(drawing, lambda: 0.0)
    answer = page.answer()
    assert answer.status == 503
    assert b"no point of &lt;device&gt; has arrived yet" in answer.content
    assert 0 < answer.refresh_seconds < REFRESH_SECONDS
    drawing.error = ""
    assert page.answer().status == 200


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
    with PageServer(Page(drawing), ports.any_free()) as server:
        url = server.url
        assert urllib3.request("GET", url, retries=False).status == 200
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", url, retries=False)
