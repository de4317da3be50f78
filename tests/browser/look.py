"""Visible faults of a page of Grafana: a cut text, a sideways scroll, an error, a colour that lies.

The browser answers these, with plain lists of sentences.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import BrowserContext, FloatRect, Page, TimeoutError

from tests.browser.conftest import PATIENCE_MS

#: Width and height of an ordinary window of each size; the menu is docked in the first two.
SIZES = {"1440": (1440, 900), "1280": (1280, 800), "390": (390, 844)}

#: Notes each text on a canvas, with its place and width, since the axes of charts are no elements; and the
#: names of the requests that are not answered yet.
_NOTE = """() => {
    localStorage.setItem('grafana.navigation.docked', 'true');
    localStorage.setItem('grafana.navigation.open', 'true');
    window.sensetigPending = new Set();
    const fetched = window.fetch;
    window.fetch = (...request) => {
        const asked = {url: request[0]?.url ?? request[0]};
        window.sensetigPending.add(asked);
        return fetched(...request).finally(() => window.sensetigPending.delete(asked));
    };
    const proto = CanvasRenderingContext2D.prototype;
    const fill = proto.fillText;
    proto.fillText = function (text, x, y, ...rest) {
        const at = this.getTransform();
        const wide = this.measureText(text).width;
        const centred = this.textAlign === 'center';
        const left = {center: wide / 2, right: wide, end: wide}[this.textAlign] ?? 0;
        const ends = [x - left, x - left + wide].map(each => at.transformPoint({x: each, y}));
        (this.canvas.sensetigTexts ??= []).push([String(text), centred, ...ends.map(p => [p.x, p.y])]);
        return fill.call(this, text, x, y, ...rest);
    };
    const clear = proto.clearRect;
    proto.clearRect = function (x, y, w, h) {
        if (w >= this.canvas.width && h >= this.canvas.height) this.canvas.sensetigTexts = [];
        return clear.call(this, x, y, w, h);
    };
}"""

#: Reasons why the page is not complete: a given panel that is missing, is loading, or has an empty body; pending
#: requests. For a stream without a reading, Grafana draws only the frame and reports that it is loading.
_AWAITED = """([ids, blank]) => [
    ...ids.filter(id => {
        const panel = document.querySelector(`[data-viz-panel-key="panel-${id}"]`);
        return !panel || !blank.includes(id) && (panel.querySelector('[aria-label="Panel loading bar"]')
            || !panel.querySelector('[data-testid="data-testid panel content"]')?.childElementCount);
    }).map(id => `panel ${id}`),
    ...[...window.sensetigPending].map(asked => `answer to ${asked.url}`),
    ...[...document.images].filter(image => !image.complete).map(image => image.src),
]"""

#: Texts of titles, headers, names and legends that are cut off, and axes that are, with the panel that they are in.
_CUT = """desk => {
    const found = [];
    const panelOf = node => node.closest('[data-viz-panel-key]');
    const titleOf = panel => panel?.querySelector('h2')?.innerText || panel?.dataset.vizPanelKey || 'page';
    const names = 'h1, h2, h6, [role="columnheader"] *, [data-testid*="legend"] *, [class*="stat"] *, '
        + '[data-testid="data-testid panel content"] > div *, [data-testid*="template variable"] label';
    for (const node of document.querySelectorAll(names)) {
        if (!node.getClientRects().length) continue;
        // On a phone, Grafana's list of alerts has room for 18 letters of a name; the whole is its tooltip.
        if (!desk && node.title && node.title === node.innerText && node.closest('li')) continue;
        if (node.closest('[role="cell"], [role="gridcell"], [aria-hidden="true"]')) continue;
        if (![...node.childNodes].some(each => each.nodeType === 3 && each.data.trim())) continue;
        const style = getComputedStyle(node);
        // A part of a line of text has no box that it could be cut by.
        if (!node.clientWidth || style.overflowX === 'visible' && style.textOverflow !== 'ellipsis') {
            // Its own box is as wide as it wants; the box that hides what is beyond it counts.
            const box = node.getBoundingClientRect();
            for (let up = node.parentElement; up && up !== document.body; up = up.parentElement) {
                const around = getComputedStyle(up);
                if (around.overflowX === 'auto' || around.overflowX === 'scroll') break;
                const edge = up.getBoundingClientRect();
                const beyond = box.right > edge.right + 1 || box.left < edge.left - 1 || box.bottom > edge.bottom + 3;
                if (around.overflowX !== 'visible' && beyond) {
                    found.push(`${titleOf(panelOf(node))}: "${node.innerText}" is beyond its edge`);
                    break;
                }
            }
        } else if (node.scrollWidth > node.clientWidth + 1) {
            found.push(`${titleOf(panelOf(node))}: "${node.innerText}" is cut`);
        }
    }
    for (const canvas of document.querySelectorAll('[data-viz-panel-key] canvas')) {
        for (const [text, centred, ...ends] of canvas.sensetigTexts ?? []) {
            // Grafana centres a time on its place, and leaves less than half a time beyond the first and the last
            // place. Whether a time is just there depends on the second. All other texts have to be whole.
            const room = centred ? (ends[1][0] - ends[0][0]) / 2 : 2;
            if (ends.some(([x, y]) => x < -room || y < -2 || x > canvas.width + room || y > canvas.height + 2)) {
                found.push(`${titleOf(panelOf(canvas))}: "${text}" of an axis is beyond its edge`);
            }
        }
    }
    return [...new Set(found)];
}"""

#: Numbers and words that lie on one another, with the panel that they are in. Charts, tables and lists have no such.
_OVERLAPPING = """() => {
    const found = [];
    for (const content of document.querySelectorAll('[data-testid="data-testid panel content"]')) {
        if (content.querySelector('canvas, [role="table"], [role="grid"], ul, ol, p')) continue;
        const texts = [];
        const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const range = document.createRange();
            range.selectNode(node);
            if (node.data.trim()) texts.push([node.data, range.getBoundingClientRect()]);
        }
        const title = content.closest('[data-viz-panel-key]')?.querySelector('h2')?.innerText;
        texts.forEach(([text, a], index) => texts.slice(index + 1).forEach(([other, b]) => {
            const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            // A line's box is higher than its letters.
            if (wide > 2 && high > Math.min(a.height, b.height) / 3) {
                found.push(`${title}: "${text}" and "${other}" overlap`);
            }
        }));
    }
    return [...new Set(found)];
}"""

#: Panels whose own content is wider than they are; a table may scroll on a phone alone.
_SIDEWAYS = """desk => {
    const found = [];
    const root = document.documentElement;
    if (root.scrollWidth > window.innerWidth) found.push(`the page is ${root.scrollWidth} px wide`);
    for (const content of document.querySelectorAll('[data-testid="data-testid panel content"]')) {
        for (const node of [content, ...content.querySelectorAll('*')]) {
            const way = getComputedStyle(node).overflowX;
            if (way !== 'auto' && way !== 'scroll') continue;
            if (!desk && node.closest('[role="table"], [role="grid"]')) continue;
            if (!desk && node.querySelector('[role="table"], [role="grid"]')) continue;
            if (node.scrollWidth > node.clientWidth + 1) {
                const panel = content.closest('[data-viz-panel-key]');
                const title = panel?.querySelector('h2')?.innerText;
                found.push(`${title} scrolls: ${node.scrollWidth} in ${node.clientWidth} px`);
                break;
            }
        }
    }
    return [...new Set(found)];
}"""

#: Elements of those panels, or of table rows that name the device, that are green: text or background.
_GREEN = """([ids, name]) => {
    const found = [];
    const green = colour => {
        const parts = colour.match(/[\\d.]+/g)?.map(Number);
        if (!parts || parts[3] === 0) return false;
        const [r, g, b] = parts;
        return g > 1.25 * r && g > 1.15 * b && g > 60;
    };
    const look = (node, where) => {
        for (const each of [node, ...node.querySelectorAll('*')]) {
            const style = getComputedStyle(each);
            const text = [...each.childNodes].some(child => child.nodeType === 3 && child.data.trim());
            const paints = green(style.backgroundColor) || /gradient/.test(style.backgroundImage)
                && (style.backgroundImage.match(/rgba?\\([^)]*\\)/g) ?? []).some(green);
            if (each.getClientRects().length && (paints || text && green(style.color))) {
                found.push(`${where}: "${each.innerText || each.className}"`);
            }
        }
    };
    for (const id of ids) {
        const panel = document.querySelector(`[data-viz-panel-key="panel-${id}"]`);
        if (panel) look(panel, panel.querySelector('h2')?.innerText || id);
    }
    for (const row of document.querySelectorAll('[role="row"]')) {
        if ([...row.children].some(cell => cell.innerText.trim() === name)) look(row, `row of ${name}`);
    }
    return [...new Set(found)];
}"""

#: The height of all panels and rows. The page itself is always higher than its window.
_HEIGHT = """() => Math.ceil(60 + window.scrollY + Math.max(
    ...[...document.querySelectorAll('[data-viz-panel-key], [data-testid^="data-testid dashboard-row-title-"]')]
        .map(each => each.getBoundingClientRect().bottom)))"""

#: Panels in sight, at least in part.
_IN_SIGHT = """() => [...document.querySelectorAll('[data-viz-panel-key]')]
    .filter(each => each.getBoundingClientRect().top < window.innerHeight - 40)
    .map(each => Number(each.dataset.vizPanelKey.replace('panel-', '')))"""

_PHRASE = "data-testid dashboard-row-title-"


class Noticed(NamedTuple):
    """Messages and requests of a page while it was open."""

    console: list[str]
    outside: list[str]


class View:
    """A page of Grafana in an ordinary window."""

    def __init__(self, context: BrowserContext, home: str) -> None:
        self.home = home
        self.page: Page = context.new_page()
        self.page.add_init_script(f"({_NOTE})()")
        self._noticed = Noticed([], [])
        self._height = 0
        self._blank: list[int] = []
        self.page.on("console", lambda message: self._said(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self._said(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _said(self, text: str) -> None:
        self._noticed.console.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.home, self.home.replace("http", "ws", 1), "data:", "blob:")):
            self._noticed.outside.append(url)

    def open(self, path: str, size: str, blank: Iterable[int] = ()) -> None:
        """Open a dashboard in a window of that size, until its first panel is there.

        Args:
            blank: the ids of panels that show a stream without a reading.
        """
        self._noticed = Noticed([], [])
        self._blank = list(blank)
        width, self._height = SIZES[size]
        self.page.set_viewport_size({"width": width, "height": self._height})
        self.page.goto(self.home + path)
        self.page.wait_for_selector("[data-viz-panel-key]")

    def panels(self) -> list[int]:
        """The ids of the panels that are on the page, drawn or not."""
        keys = self.page.eval_on_selector_all(
            "[data-viz-panel-key]", "all => all.map(each => each.dataset.vizPanelKey)"
        )
        return [int(key.removeprefix("panel-")) for key in keys if key.removeprefix("panel-").isdigit()]

    def in_sight(self) -> list[int]:
        """The ids of the panels that the window shows a part of."""
        found: list[int] = self.page.evaluate(_IN_SIGHT)
        return found

    def drawn(self, panels: Iterable[int]) -> None:
        """Wait until those panels are there and have drawn, and until every request has its answer."""
        # Asked now and then: by default it is asked with each frame, which makes the browser draw one after the other.
        awaited = [list(panels), self._blank]
        try:
            self.page.wait_for_function(
                f"all => !({_AWAITED})(all).length", arg=awaited, polling=100, timeout=2 * PATIENCE_MS
            )
        except TimeoutError as error:
            raise AssertionError(f"the page still waits for {self.page.evaluate(_AWAITED, awaited)}") from error

    def whole(self, size: str) -> int:
        """The window in that width, and as high as all that it shows, drawn; the height of that."""
        width, height = SIZES[size]
        # Each change of the window redraws every chart, so it stays as high as it was.
        self._height = max(self._height, height)
        self.page.set_viewport_size({"width": width, "height": self._height})
        while True:
            self._frame()
            whole = int(self.page.evaluate(_HEIGHT))
            if whole > self._height:  # a panel is drawn when it comes into sight, and may make the page higher
                self._height = whole
                self.page.set_viewport_size({"width": width, "height": whole})
                continue
            self.drawn(self.panels())
            if (whole := int(self.page.evaluate(_HEIGHT))) <= self._height:
                return max(whole, height)

    def take(self, file: Path, size: str, height: int) -> None:
        """A picture of the page down to that height."""
        clip: FloatRect = {"x": 0, "y": 0, "width": SIZES[size][0], "height": height}
        self.page.screenshot(path=file, clip=clip, quality=80)

    def _frame(self) -> None:
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def expand(self, rows: Iterable[str], size: str) -> None:
        """Open closed rows by their titles; the last one first, since a row out of sight is not on the page.

        The window, in that width, is made as high as the page after each row.
        """
        for row in reversed(list(rows)):
            self.page.locator(f'[data-testid="{_PHRASE}{row}"][aria-label="Expand row"]').click()
            # Grafana never draws a panel that the row moves out of sight, nor one that is out of sight from the start.
            self.whole(size)

    def faults(self, *, desk: bool) -> list[str]:
        """All faults in this width, of a desk or of a phone."""
        found: list[str] = [
            *self.page.evaluate(_CUT, desk),
            *self.page.evaluate(_OVERLAPPING),
            *self.page.evaluate(_SIDEWAYS, desk),
        ]
        for sign in ("data-testid Panel status error", "data-testid Alert error"):
            for each in self.page.locator(f'[data-testid="{sign}"]').all():
                found.append(f"{sign}: {each.get_attribute('aria-label') or each.inner_text()}")
        return found

    def noticed(self) -> list[str]:
        """Messages of the console, and requests to other places."""
        return [
            *(f"console: {text}" for text in self._noticed.console),
            *(f"request to {url}" for url in self._noticed.outside),
        ]

    def green(self, panels: Iterable[int], device: str) -> list[str]:
        """Green parts of those panels, and of rows of tables that name the device."""
        found: list[str] = self.page.evaluate(_GREEN, [list(panels), device])
        return found

    def texts(self) -> dict[int, list[str]]:
        """The lines of text of each panel that is there, by its id."""
        return {
            panel: self.page.locator(f'[data-viz-panel-key="panel-{panel}"]').inner_text().splitlines()
            for panel in self.panels()
        }
