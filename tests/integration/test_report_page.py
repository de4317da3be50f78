"""Reports and the status on a real InfluxDB that holds a week of a Pi, and the page in a real browser.

The folder that SENSETIG_SCREENSHOTS names takes a picture of each.
"""

from __future__ import annotations

import csv
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import urllib3
from click.testing import CliRunner, Result
from playwright.sync_api import Browser, sync_playwright

from sensetig.__main__ import main
from sensetig.demo.testbed import ports
from sensetig.report.mail import as_html
from sensetig.report.maker import short_report
from sensetig.report.store import UNSENT
from tests.integration.conftest import InfluxDB, prepared
from tests.report_week import DAY, EVENT_EVERY, SILENCE, lines

pytestmark = pytest.mark.engines

DEVICE = "report-pi"

#: Seconds between readings: close enough that none of them is a gap.
STEP = 100

#: The week ends with the last reading that is due.
END = int(time.time()) // STEP * STEP

SIZES = {"desktop": (1400, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def influxdb(influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """An InfluxDB with the device of this file alone, since a report of all devices takes a time for each."""
    with prepared(influxd, tmp_path_factory.mktemp("influxdb")) as started:
        yield started


@pytest.fixture(scope="module")
def options(influxdb: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A week of a Pi up to now in InfluxDB, and the options that lead there."""
    token = tmp_path_factory.mktemp("token") / "grafana.token"
    token.touch(mode=0o600)
    token.write_text(influxdb.read_token, encoding="utf-8")
    begin = END - 7 * DAY
    written = list(lines(DEVICE, begin, 7 * DAY, STEP))
    for start in range(0, len(written), 5000):
        answer = urllib3.request(
            "POST",
            f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket=raw&precision=ns",
            body="\n".join(written[start : start + 5000]).encode(),
            headers={"Authorization": f"Token {influxdb.write_token}"},
        )
        assert answer.status == 204, answer.data
    return ["--url", influxdb.url, "--token-file", str(token)]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(scope="module")
def page(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The week's report."""
    file = tmp_path_factory.mktemp("report") / "week.html"
    week = [datetime.fromtimestamp(at, UTC).isoformat() for at in (END - 7 * DAY, END)]
    done = run("report", *options, "--device", DEVICE, "--from", week[0], "--to", week[1], "--output", str(file))
    assert done.exit_code == 0, done.output
    return file


def plain(file: Path) -> str:
    return re.sub(r"\s+", " ", file.read_text(encoding="utf-8").replace("\u202f", " "))


def test_the_report_describes_the_week_correctly(page: Path) -> None:
    text = plain(page)
    assert re.search(r"One gap in the data, of 3 h(?: [12] min)? \(1\.8\d?% of the period\)", text)
    assert "The device restarted once." in text
    assert re.search(r"Under-voltage in \d+ of \d+ readings", text)
    assert re.search(r"A capped clock: in none of \d+ readings", text)
    assert re.search(r"/ is 55% full; usage grew by 5\.\d+ GiB", text)
    assert re.search(r"Failed readings by collector: sensehat [67]\.", text)
    # The rule looks back over five minutes, and no five of the week are passed over.
    assert re.search(r"Under-voltage fired (?:once|\d+ times)", text)
    # The events of the silence are not there.
    began = re.search(r"(\d+) motion events began", text)
    assert began is not None
    assert 7 * DAY // EVENT_EVERY - 3 <= int(began[1]) < 7 * DAY // EVENT_EVERY
    assert re.search(r"<summary>No data for \d+ panels</summary>", text)
    # A dashboard without a chart has no section.
    assert re.search(r"No data in this period on the dashboards? .*Your data", text)
    assert text.count("<h2") == text.count("<section")


def test_the_page_has_the_best_pictures_the_best_first(page: Path) -> None:
    text = plain(page)
    scores = [float(each) for each in re.findall(r"intensity (\d+\.\d)", text)]
    assert len(scores) == 6
    assert scores == sorted(scores, reverse=True)
    assert text.count("data:image/jpeg;base64,") == 6


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"], timeout=240_000
        )
        yield started
        started.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_whole_in_a_browser(scheme: str, size: str, page: Path, browser: Browser, tmp_path: Path) -> None:
    width, height = SIZES[size]
    opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    console: list[str] = []
    outside: list[str] = []
    opened.on("console", lambda message: console.append(message.text))
    opened.on("pageerror", lambda error: console.append(str(error)))
    opened.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:")) else outside.append(request.url),
    )
    opened.set_default_timeout(240_000)
    opened.goto(page.as_uri())
    folder = Path(os.environ.get("SENSETIG_SCREENSHOTS", tmp_path))
    opened.screenshot(path=folder / f"report-{scheme}-{size}.png", full_page=True)

    assert console == []
    assert outside == []
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert opened.locator("h1").inner_text() == DEVICE
    assert opened.locator("article.chart svg").count() >= 20
    assert opened.locator("article.chart [role=img]:not([aria-label])").count() == 0
    assert opened.locator("img:not([alt])").count() == 0
    assert opened.evaluate("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
    levels = opened.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.tagName[1]))")
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = opened.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(set(ids)) == len(ids)
    light = opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 245, 247)"
    assert light is (scheme == "light")
    opened.close()


#: Texts of charts that are too small to read, or that another text covers; in pixels of the screen.
_UNREADABLE = """() => {
    const found = [];
    for (const svg of document.querySelectorAll('article.chart svg')) {
        const title = svg.closest('article').querySelector('h3').innerText;
        const texts = [...svg.querySelectorAll('text')].map(node => [node.textContent, node.getBoundingClientRect()]);
        for (const [text, box] of texts) {
            if (box.height < 11) found.push(`${title}: "${text}" is ${box.height.toFixed(1)} px high`);
            if (box.left < 0 || box.right > window.innerWidth) found.push(`${title}: "${text}" is beyond the page`);
        }
        texts.forEach(([text, box], index) => texts.slice(index + 1).forEach(([other, next]) => {
            const across = box.left < next.right && next.left < box.right;
            if (across && box.top < next.bottom - 2 && next.top < box.bottom - 2)
                found.push(`${title}: "${text}" and "${other}" overlap`);
        }));
    }
    return found;
}"""


@pytest.mark.parametrize("size", SIZES)
def test_the_axes_of_every_chart_can_be_read(size: str, page: Path, browser: Browser) -> None:
    width, height = SIZES[size]
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.set_default_timeout(240_000)
    opened.goto(page.as_uri())
    assert opened.evaluate(_UNREADABLE) == []
    opened.close()


@pytest.fixture(scope="module")
def mail(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of the mail with the report of the week."""
    folder = tmp_path_factory.mktemp("mail")
    server = ("--smtp-host", "127.0.0.1", "--smtp-port", str(ports.any_free()), "--smtp-security", "none")
    people = ("--mail-from", "pi@example.org", "--mail-to", "you@example.org")
    wanted = ("--device", DEVICE, "--from", "7d", "--folder", str(folder), "--dashboard", "environment")
    run("report", *options, *wanted, *server, *people)
    (mark,) = folder.glob(f"*{UNSENT}")
    return mark.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [390, 700])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_mail_is_whole_in_a_browser(scheme: str, width: int, mail: str, browser: Browser, tmp_path: Path) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    opened.set_default_timeout(240_000)
    outside: list[str] = []
    opened.on("request", lambda request: outside.append(request.url))
    opened.set_content(as_html(mail))
    pictures = Path(os.environ.get("SENSETIG_SCREENSHOTS", tmp_path))
    opened.screenshot(path=pictures / f"mail-{scheme}-{width}.png", full_page=True)
    assert outside == []
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert opened.locator("h1").inner_text() == DEVICE
    assert "to act on" in opened.locator(".verdict").inner_text()
    assert opened.locator("li").count() > 5
    opened.close()


def week_from(begin: int, options: list[str], file: Path) -> str:
    """The text of a report from that time to the end of the data."""
    span = [datetime.fromtimestamp(at, UTC).isoformat() for at in (begin, END)]
    wanted = ("--device", DEVICE, "--from", span[0], "--to", span[1], "--dashboard", "environment")
    done = run("report", *options, *wanted, "--output", str(file))
    assert done.exit_code == 0, done.output
    return plain(file)


def test_the_first_report_of_a_device_has_no_gap_before_it_existed(options: list[str], tmp_path: Path) -> None:
    file = tmp_path / "first.html"
    text = week_from(END - 10 * DAY, options, file)
    assert "The device is new: its first data is from" in text
    assert re.search(r"One gap in the data, of 3 h", text)


def test_a_device_that_was_silent_at_the_beginning_of_a_period_has_a_gap_there(
    options: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "silent.html"
    text = week_from(END - 7 * DAY + SILENCE[0] + 600, options, file)
    assert "The device is new" not in text
    assert re.search(r"One gap in the data, of 2 h", text)


@pytest.mark.parametrize(("kind", "head"), [("pdf", b"%PDF-"), ("png", b"\x89PNG")])
def test_the_page_is_printed(
    kind: str, head: bytes, options: list[str], page: Path, chromium: Path, tmp_path: Path
) -> None:
    del chromium
    file = tmp_path / f"week.{kind}"
    wanted = ("--device", DEVICE, "--format", kind, "--dashboard", "environment", "--output", str(file))
    done = run("report", *options, *wanted)
    assert done.exit_code == 0, done.output
    assert file.read_bytes().startswith(head)
    assert "counter(page)" in page.read_text(encoding="utf-8"), "printed pages have numbers"
    assert file.stat().st_size > 50_000


def test_the_csv_contains_the_measured_values(options: list[str], tmp_path: Path) -> None:
    file = tmp_path / "week.csv"
    done = run("report", *options, "--device", DEVICE, "--format", "csv", "--output", str(file))
    assert done.exit_code == 0, done.output
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    pressures = [float(row["value"]) for row in rows if row["panel"] == "Pressure"]
    assert len(pressures) > 300
    assert all(1005 < value < 1021 for value in pressures)


def test_a_report_that_cannot_be_mailed_is_kept_and_said(options: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    mail = ("--smtp-host", "127.0.0.1", "--smtp-port", str(ports.any_free()), "--smtp-security", "none")
    people = ("--mail-from", "pi@example.org", "--mail-to", "you@example.org")
    wanted = ("--device", DEVICE, "--from", "1h", "--folder", str(folder), "--dashboard", "environment")
    done = run("report", *options, *wanted, *mail, *people)
    assert done.exit_code == 1
    assert re.search(r"E! the mail server 127\.0\.0\.1:\d+ cannot be reached: .*; the report is kept", done.output)
    (report,) = folder.glob("*.html")
    assert report.with_name(report.name + UNSENT).is_file()


def test_the_demo_s_report_has_a_page_for_each_device_that_wrote(
    options: list[str], influxdb: InfluxDB, tmp_path: Path
) -> None:
    del options
    now = datetime.now().astimezone()
    begin = datetime.fromtimestamp(now.timestamp() - 1800).astimezone()
    pages = short_report(influxdb.url, influxdb.read_token, tmp_path / "reports", begin, now)
    assert [path.name.startswith(f"{DEVICE}_") for path in pages] == [True]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--device", "nobody"], r"there is no data of a device 'nobody'; there is of: [\w-]+(, |\n)"),
        (["--device", DEVICE, "--from", "soon"], r"'soon' is no time; write it as"),
        (["--device", DEVICE, "--from", "now", "--to", "7d"], r"swap --from and --to"),
        (["--device", DEVICE, "--from", "20d", "--to", "15d", "--bucket", "raw"], r"there is no data of report-pi in"),
        (["--device", DEVICE, "--dashboard", "none"], r"there is no dashboard 'none' of one device; there are device"),
        (["--device", DEVICE, "--smtp-host", "mail"], r"goes with --folder"),
    ],
)
def test_invalid_options_are_rejected_with_one_sentence(
    arguments: list[str], sentence: str, options: list[str]
) -> None:
    done = run("report", *options, *arguments)
    assert done.exit_code in (1, 2)
    assert re.search(sentence, done.output), done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        (("--output", "none/report.html"), r"no report can be written into /\S+/none: No such file or directory"),
        (("--folder", "/sys"), "no report can be written into /sys: "),
    ],
)
def test_an_unwritable_destination_is_reported_before_a_report_is_made(
    where: tuple[str, str], sentence: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sensetig.report.maker.make", None)
    done = run("report", *options, "--device", DEVICE, *where)
    assert done.exit_code == 1
    assert re.fullmatch(rf"Error: {sentence}.*\n", done.output)


def test_a_token_that_may_not_read_is_one_sentence(influxdb: InfluxDB, tmp_path: Path) -> None:
    for token in ("no-token-at-all", influxdb.write_token):
        file = tmp_path / "a.token"
        file.touch(mode=0o600)
        file.write_text(token, encoding="utf-8")
        done = run("report", "--url", influxdb.url, "--token-file", str(file), "--device", DEVICE)
        assert done.exit_code == 1
        assert re.search(r"refuses the token in .*: it may not query|the token in .* may not use it", done.output)
        assert token not in done.output


#: A hostile device name: no part of it may be interpreted as HTML, InfluxQL or a path.
HOSTILE = """<script>alert(1)</script>' OR "host" =~ /.*/ ../../etc/x"""


def _write(influxdb: InfluxDB, *points: str) -> None:
    answer = urllib3.request(
        "POST",
        f"{influxdb.url}/api/v2/write?org={influxdb.org}&bucket=raw&precision=s",
        body="\n".join(points).encode(),
        headers={"Authorization": f"Token {influxdb.write_token}"},
    )
    assert answer.status == 204, answer.data


def test_a_hostile_name_is_only_a_name(
    options: list[str], influxdb: InfluxDB, browser: Browser, tmp_path: Path
) -> None:
    tag = HOSTILE.replace(" ", "\\ ").replace("=", "\\=").replace(",", "\\,")
    now = int(time.time())
    _write(
        influxdb,
        *(f"system,host={tag} uptime={at}i {at}" for at in range(now - 600, now, 10)),
        *(f"temp,host={tag},sensor=<b>cpu</b> temp=66.5 {at}" for at in range(now - 600, now, 10)),
        f'camera_event,host={tag},camera=<i>c</i>,kind=end score=9,thumbnail="data:image/svg+xml,<svg onload=1>" {now}',
    )
    done = run("report", *options, "--device", HOSTILE, "--from", "10m", "--folder", str(tmp_path / "reports"))
    assert done.exit_code == 0, done.output
    (file,) = (tmp_path / "reports").iterdir()
    assert re.fullmatch(r"[A-Za-z0-9.-]+_\d{8}T\d{4}_\d{8}T\d{4}\.html", file.name)
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"<script|<b>cpu|<i>c|onload=", text)
    # The condition in its name has not included the other device's data.
    assert "66.5" in text
    assert "Under-voltage in" not in text
    opened = browser.new_page()
    dialogs: list[str] = []
    opened.on("dialog", lambda dialog: dialogs.append(dialog.message))
    opened.set_default_timeout(240_000)
    opened.goto(file.as_uri())
    assert opened.locator("h1").inner_text().split() == HOSTILE.split()
    assert dialogs == []
    opened.close()
    status = run("status", *options, "--json")
    assert HOSTILE in [each["name"] for each in json.loads(status.output)["devices"]]
    for asked in ("' OR true --", "x'; DROP MEASUREMENT system; --", "\\"):
        refused = run("report", *options, "--device", asked, "--output", str(tmp_path / "x.html"))
        assert refused.exit_code == 1
        assert "there is no data of a device" in refused.output


def test_status_lists_two_hundred_devices_with_their_states(options: list[str], influxdb: InfluxDB) -> None:
    now = int(time.time())
    points = []
    for index in range(200):
        name, age = f"many-{index:03}", 5 if index % 10 else 3000
        points += [
            f"system,host={name} uptime=1000i {now - age}",
            f"disk,host={name},path=/,fstype=ext4 used_percent={index % 80} {now - age}",
            f"device_state,host=hub,device={name} messages={index}i,last_telemetry_seconds={now - age}.0,"
            f'firmware="6.12",bundle_version="0.2.0",status="online" {now - age}',
        ]
    # One device behind the gateway, without points under its own host name; and one that has long been silent.
    points.append(f"device_state,host=hub,device=many-mqtt messages=7i,last_telemetry_seconds={now - 90}.0 {now - 1}")
    points.append(f"system,host=many-retired uptime=1i {now - 9 * DAY}")
    _write(influxdb, *points)
    told = run("status", *options, "--json")
    devices = {each["name"]: each for each in json.loads(told.output)["devices"]}
    assert sum(name.startswith("many-") for name in devices) == 201
    assert "many-retired" not in devices
    assert devices["many-000"]["status"] == "offline"
    assert (devices["many-007"]["status"], devices["many-007"]["messages"]) == ("online", 7)
    assert (devices["many-007"]["version"], devices["many-007"]["firmware"]) == ("0.2.0", "6.12")
    assert (devices["many-mqtt"]["status"], devices["many-mqtt"]["messages"]) == ("late", 7)


def test_the_status_shows_the_device_and_its_exit_status_says_what_to_do(options: list[str]) -> None:
    well = run("status", *options, "--late", "1d", "--offline", "2d", "--json")
    devices = {each["name"]: each for each in json.loads(well.output)["devices"]}
    found = devices[DEVICE]
    assert found["status"] == "online"
    assert found["level"] == "look"
    assert found["reasons"] == ["under-voltage since boot", "throttled since boot"]
    assert found["messages"] is None
    assert 40 < found["temperature_celsius"] < 70
    assert 54 < found["disk_percent"] < 57
    silent = run("status", *options, "--late", "1s", "--offline", "1s")
    assert silent.exit_code == 3
    assert DEVICE in silent.output
    assert "offline" in silent.output
