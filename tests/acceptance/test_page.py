"""The page for operators, in a real Chromium, on what real workers have reported."""

from __future__ import annotations

import json
import re
import subprocess
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlencode

import httpx
import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from server_stub.auth.tokens import Scope, hash_token, make_token
from tests.acceptance.operators_page import chart, panel, post_samples, reload
from tests.acceptance.page_fleet import POOLS, report_fleet
from tests.browser import needs_chromium, opened_page, running_chromium
from tests.ports import free_port
from tests.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser, Locator, Page, Route

    from tests.server_process import ServerProcess

ROOT = Path(__file__).parent.parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
TABS = ("explore", "jobs", "workers", "storage")
MANY_SERIES = 10_000
POOL_SIZE = 12
CONNECTIONS_MAX = 432
INGEST_MIB = 96
# The server reports its own metrics every 15 seconds.
REPORTED_MILLISECONDS = 40_000
STRANGE_POOL = "<b>strange</b>"
HOSTILE = {
    "script": "<script>document.title = 'stolen'</script><img src=x onerror=alert(1)>",
    "right_to_left": "\u202eאבג\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "long": "x" * 4_096,
}

# The fleet's jobs fail, its samples are dropped, and the server has rejected some.
RAISED = {
    "noetl_api_samples_rejected_total grows",
    "noetl_jobs_processed_total grows more by failed jobs than it should",
    "noetl_metrics_sdk_samples_dropped_total grows",
}
MAY_BE_RAISED = re.compile("noetl_api_components has|system_filesystem|noetl_api_request_duration")

# A browser does the same under every interpreter.
pytestmark = [pytest.mark.once, needs_chromium]


PROCESSED = chart("noetl_jobs_processed_total", "rate", "job_type", "status")
DURATION = chart("noetl_job_duration_seconds", "quantile", "job_type", quantile="0.95")


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(postgresql) -> Generator[ServerProcess]:
    """A server to which two pools have reported for half an hour, and clients strange samples."""
    with postgresql.database() as url, ExitStack() as stack:
        server = start_server(
            url,
            f"--pool-size={POOL_SIZE}",
            f"--connections-max={CONNECTIONS_MAX}",
            f"--ingest-bytes-max={INGEST_MIB * 2**20}",
            "--maintenance-interval-seconds=86400",  # a partition that a test drops stays away
        )
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.stop)
        report_fleet(server.url)
        post_samples(server.url, STRANGE_POOL, [("strange_total", HOSTILE)])
        many = [("many_values", {"shard": f"shard-{number}"}) for number in range(MANY_SERIES)]
        post_samples(server.url, "many", many)
        yield server


@pytest.fixture
def page(browser: Browser, served: ServerProcess) -> Generator[Page]:
    with opened_page(browser, served.url) as page:
        yield page


def test_a_metric_is_chosen_by_the_keyboard_only(page: Page) -> None:
    """Tab, letters and arrows choose a metric, its sensible aggregation, and a label; the URL has
    all of it, and shows the same again."""
    page.goto("#explore")
    metric = page.get_by_role("combobox", name="Metric", exact=True)
    metric.focus()
    page.keyboard.type("jobs_p")  # only its last letter leaves one suggestion
    suggested = page.locator("[role=option]").filter(has_text="noetl_jobs_processed_total")
    expect(page.locator("[role=option]")).to_have_count(1)
    expect(suggested).to_contain_text("counter, jobs")
    expect(suggested).to_contain_text("Jobs that have ended, by outcome")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Show")).to_have_value("rate")
    chip = page.get_by_role("button", name=re.compile("^job_type"))
    expect(chip).to_be_visible()
    for _ in range(12):
        if chip.evaluate("chip => chip === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    table = page.get_by_role("group", name="Values of the series")
    expect(table.get_by_role("row")).to_have_count(1 + 3)
    shown = table.inner_text()
    assert "metric%253D" not in page.url
    assert "job_type" in page.url
    metric.fill("something else")
    page.keyboard.press("Tab")
    expect(metric).to_have_value("noetl_jobs_processed_total")
    page.reload()
    expect(table.get_by_role("row")).to_have_count(1 + 3)
    assert shown.split() == table.inner_text().split()


def test_a_filter_is_offered(page: Page) -> None:
    """Labels and their values are offered, a chosen one is a filter, and can be removed. The keys
    are then where the next filter is added."""
    page.goto(f"#explore?{PROCESSED}")
    rows = page.get_by_role("group", name="Values of the series").get_by_role("row")
    expect(rows).to_have_count(1 + 6)
    add = page.get_by_label("Filter by a label")
    add.select_option("job_type")
    page.locator("[role=option]").filter(has_text="sql").click()
    expect(rows).to_have_count(1 + 2)
    expect(add).to_be_focused()
    page.get_by_role("button", name="Remove the filter job_type").click()
    expect(rows).to_have_count(1 + 6)
    expect(add).to_be_focused()


def test_a_chart_reads_values_switches_series_and_takes_a_range(page: Page) -> None:
    """The arrow keys and the mouse read values, the table switches series, a drag is a range."""
    page.goto(f"#explore?{PROCESSED}")
    drawn = page.get_by_role("group", name=re.compile("^noetl_jobs_processed_total: rate"))
    heading = page.get_by_role("group", name="Values of the series").locator("th").nth(1)
    expect(heading).to_have_text("last")
    drawn.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(heading).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    page.keyboard.press("Escape")
    expect(heading).to_have_text("last")
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    expect(heading).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    switch = page.get_by_role("button", name="job_type=sql, status=completed")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=4)
    page.mouse.up()
    expect(page.get_by_label("Range")).to_have_value("absolute")
    expect(page.get_by_label("From", exact=True)).to_be_visible()
    assert re.search(r"from=2\d\d\d-.*&to=2\d\d\d-", page.url)
    page.go_back()
    expect(page.get_by_label("Range")).to_have_value("1h")


def values_read(table: Locator) -> dict[str, str]:
    """Return the table's first column of values, under the time at which they are read."""
    rows = [row.inner_text().split("\t") for row in table.get_by_role("row").all()]
    assert 1 < len(rows)
    return {name.strip(): value for name, value, *_ in rows}


def test_a_chart_is_read_on_while_its_data_come_anew(page: Page) -> None:
    """A reload leaves the time that is read, and the dots there, until the keys or the mouse go."""
    page.goto(f"#explore?{PROCESSED}")
    table = page.get_by_role("group", name="Values of the series")
    heading = table.locator("th").nth(1)
    drawn = page.get_by_role("group", name=re.compile("^noetl_jobs_processed_total: rate"))
    drawn.focus()
    for key in ("End", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    expect(heading).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    read = values_read(table)
    reload(page)
    assert read == values_read(table)
    page.keyboard.press("ArrowLeft")
    expect(heading).not_to_have_text(read["series"])
    page.keyboard.press("Shift+Tab")
    expect(heading).to_have_text("last")
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
    expect(heading).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    dots = page.locator(".u-cursor-pt:visible")
    expect(dots).to_have_count(6)
    read = values_read(table)
    reload(page)
    assert read == values_read(table)
    expect(dots).to_have_count(6)
    page.mouse.move(box["x"], box["y"] - 20)
    expect(heading).to_have_text("last")


def test_a_chart_is_read_on_when_a_series_is_new(page: Page, served) -> None:
    """A series that a reload finds is drawn, and the time that was read is read on."""
    post_samples(served.url, "growing", [("growing_values", {"shard": "first"})])
    page.goto(f"#explore?{chart('growing_values', 'max', 'shard')}")
    table = page.get_by_role("group", name="Values of the series")
    page.get_by_role("group", name=re.compile("^growing_values: ")).focus()
    page.keyboard.press("End")
    expect(table.locator("th").nth(1)).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    read = values_read(table)
    post_samples(served.url, "growing", [("growing_values", {"shard": "second"})])
    reload(page)
    expect(table.get_by_role("row")).to_have_count(1 + 2)
    found = values_read(table)
    assert read.items() <= found.items()


def test_a_range_is_dragged_while_the_data_come_anew(page: Page) -> None:
    """A reload between the beginning of a drag and its end takes nothing from the range."""
    page.goto(f"#explore?{PROCESSED}")
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, middle, steps=4)
    reload(page)
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=4)
    page.mouse.up()
    expect(page.get_by_label("Range")).to_have_value("absolute")
    dragged = re.search(r"from=(\d+-[^&]+)&to=(\d+-[^&]+)", unquote(page.url))
    assert dragged is not None
    start, end = (datetime.fromisoformat(moment) for moment in dragged.groups())
    assert 1_700 < (end - start).total_seconds() < 1_900


def test_a_reload_leaves_the_focus_and_what_is_typed(page: Page) -> None:
    """A reload leaves the focus on a series' switch, and a number that is half typed."""
    page.goto(f"#explore?{DURATION}")
    switch = page.get_by_role("button", name="job_type=sql")
    switch.focus()
    reload(page)
    expect(switch).to_be_focused()
    quantile = page.get_by_role("spinbutton", name="Quantile")
    quantile.select_text()
    page.keyboard.type("0.75")
    reload(page)
    expect(quantile).to_have_value("0.75")
    page.keyboard.press("Tab")
    expect(page).to_have_url(re.compile("quantile%3D0.75%26"))


def test_what_stands_behind_a_chart_gives_the_same(page: Page, served) -> None:
    """The curl command and the SQL that are copied give the points that the chart shows."""
    ended = urlencode({"from": iso(time.time() - 1_500), "to": iso(time.time() - 300)})
    for show in ("rate", "increase", "avg", "max", "count"):
        one = chart("noetl_jobs_processed_total", show, "job_type", where="status=completed")
        page.goto(f"#explore?{ended}&{one}")
        curl = copied(page, "curl")
        assert f"aggregation={show}" in curl
        answer = json.loads(subprocess.check_output(["sh", "-c", curl], text=True))
        points = {
            (series["labels"]["job_type"], at): value
            for series in answer["series"]
            for at, value in series["points"]
        }
        assert 3 * 10 < len(points)
        with psycopg.connect(served.database_url) as connection:
            rows = connection.execute(copied(page, "SQL").encode()).fetchall()
        found = {(job_type, int(at.timestamp())): float(value) for at, job_type, value in rows}
        assert points == pytest.approx(found)


def iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def copied(page: Page, language: str) -> str:
    page.get_by_role("button", name=language, exact=True).click()
    dialog = page.get_by_role("dialog")
    text = dialog.get_by_role("textbox").input_value()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    return text


def test_promql_is_offered_for_a_quantile(page: Page) -> None:
    """A quantile's PromQL is histogram_quantile over the buckets, by le and the chosen labels."""
    page.goto(f"#explore?{DURATION}")
    rate = "rate(noetl_job_duration_seconds_bucket[120s])"
    assert f"histogram_quantile(0.95, sum by (le, job_type) ({rate}))" == copied(page, "PromQL")


def test_jobs_are_shown_as_the_api_counts_them(page: Page, served) -> None:
    """The table of job types has the increases and the quantiles of what track_job counts."""
    page.goto("#jobs?range=3h")
    table = page.get_by_role("group", name="Job types", exact=True)
    expect(table.get_by_role("row")).to_have_count(1 + 3)
    for job_type in ("sql", "http", "python"):
        parameters: dict[str, str | float] = {
            "metric_name": "noetl_jobs_processed_total", "aggregation": "increase",
            "labels": json.dumps({"job_type": job_type}), "step": 86_400,
            "start_time": time.time() - 10_800,
        }  # fmt: skip
        answer = httpx.get(f"{served.url}/api/metrics/series", params=parameters).json()
        ended = sum(value for series in answer["series"] for _, value in series["points"])
        row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name=job_type))
        expect(row.get_by_role("cell").first).to_have_text(f"{ended:g}")
    for title in (
        "Jobs per second, by status", "Jobs per second, by type",
        "Failures per second, by exception", "Duration: p50, p95, p99", "In progress, by type",
    ):  # fmt: skip
        expect(panel(page, title).locator("canvas")).to_be_visible()
    expect(panel(page, "Failures per second, by exception")).to_contain_text("OperationalError")
    page.get_by_role("combobox", name="Job type", exact=True).select_option("sql")
    expect(table.get_by_role("row")).to_have_count(1 + 1)
    assert "jobType=sql" in page.url


def test_workers_are_listed_with_their_figures(page: Page) -> None:
    """Each component and each process is listed, with its state, CPU, memory and samples."""
    page.goto("#workers")
    components = page.get_by_role("group", name="Components")
    for pool in (*POOLS, STRANGE_POOL):
        row = components.get_by_role("row").filter(has_text=pool)
        expect(row.get_by_role("button", name=f"Delete {pool} …")).to_be_visible()
    processes = page.get_by_role("group", name="Processes")
    row = processes.get_by_role("row").filter(has_text="orders-1")
    expect(row).to_contain_text("ended")
    expect(row).to_contain_text("MiB")
    expect(row).to_contain_text("%")
    page.get_by_label("Find").fill("reports-1")
    expect(processes.get_by_role("row")).to_have_count(1 + 1)
    assert "search=reports-1" in page.url


def test_a_component_is_deleted_after_a_question(page: Page, served) -> None:
    """Nothing is deleted before the question is answered; then the component is gone."""
    post_samples(served.url, "abandoned", [("abandoned_total", {})])
    page.goto("#workers")
    components = page.get_by_role("group", name="Components")
    row = components.get_by_role("row").filter(has_text="abandoned")
    row.get_by_role("button").click()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(row).to_have_count(1)
    row.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("abandoned")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    left = httpx.get(f"{served.url}/api/runtime").json()["components"]
    assert "abandoned" not in {component["name"] for component in left}


def test_storage_evaluates_the_alarms_of_the_documentation(page: Page) -> None:
    """Each alarm of docs/operations.md is evaluated: those that have a reason are raised."""
    section = (
        (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").split("## Watching it")[1]
    )
    documented = [
        condition.replace("`", "")
        for condition in re.findall(r"^\| (.+?) \| .+? \| .*\|$", section, re.MULTILINE)
        if condition not in {"alarm when", "---"}
    ]
    page.goto("#storage")
    alarms = page.get_by_role("group", name="Alarms")
    expect(alarms.get_by_role("row")).to_have_count(1 + len(documented))
    rows = [row.get_by_role("cell").all_inner_texts() for row in alarms.get_by_role("row").all()]
    assert sorted(documented) == sorted(cells[0] for cells in rows[1:])
    bad = alarms.get_by_role("row").filter(has=page.locator(".state.bad"))
    raised = {row.get_by_role("cell").first.inner_text() for row in bad.all()}
    # The pools may have become offline meanwhile, and a disk or a core may be short.
    assert RAISED == raised - {condition for condition in raised if MAY_BE_RAISED.match(condition)}


def test_storage_raises_the_alarm_of_a_server_that_is_not_ready(page: Page, served) -> None:
    """Without tomorrow's partition the server is not ready: the alarm and the partitions say so."""
    tomorrow = time.strftime("metric_%Y_%m_%d", time.gmtime(time.time() + 86_400))
    with psycopg.connect(served.database_url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE noetl.{tomorrow}".encode())
    try:
        page.goto("#storage")
        raised = page.get_by_role("row").filter(has_text="GET /readyz is not 200")
        expect(raised).to_contain_text(tomorrow)
        expect(raised.locator(".state.bad")).to_have_text("■ alarm")
        expect(panel(page, "Partitions")).to_contain_text("missing")
    finally:
        httpx.post(f"{served.url}/api/metrics/partitions/create").raise_for_status()


def test_storage_shows_the_partitions(page: Page, served) -> None:
    """Each partition of the database has its row, with its size and when it goes."""
    page.goto("#storage")
    partitions = httpx.get(f"{served.url}/api/metrics/partitions").json()["partitions"]
    table = page.get_by_role("group", name="Partitions")
    expect(table.get_by_role("row")).to_have_count(1 + len(partitions))
    today = table.get_by_role("row").filter(
        has_text=time.strftime("metric_%Y_%m_%d", time.gmtime())
    )
    expect(today).to_contain_text("MiB")
    expect(today).to_contain_text(re.compile(r"in \d"))
    expect(panel(page, "Export")).to_contain_text("does not export")
    expect(panel(page, "Retention")).to_contain_text("1 day")
    expect(panel(page, "Samples inserted per second").locator("canvas")).to_be_visible()


def test_storage_shows_rejects_by_reason(page: Page) -> None:
    """The chart has a series for the reason of what the fleet sent wrong, and none for others."""
    page.goto("#storage")
    rejected = panel(page, "Samples rejected per second, by reason")
    expect(rejected.locator(".series-switch")).to_have_text(["reason=too_old"])


def test_storage_shows_connections_and_their_bounds(page: Page) -> None:
    """The charts have what is in use, what is open, and the running server's own bounds."""
    page.goto("#storage?refresh=5")
    database = panel(page, "Connections to the database")
    for name, bound in (("queries", f"{POOL_SIZE // 2}"), ("others", f"{POOL_SIZE}")):
        most = value_of(database, f"purpose={name} at most")
        expect(most).to_have_text(bound, timeout=REPORTED_MILLISECONDS)
        expect(value_of(database, f"purpose={name} in use")).to_have_text(re.compile(r"^\d$"))
    expect(value_of(database, "open")).to_have_text(re.compile(r"^[1-9]$"))
    clients = panel(page, "Connections of clients")
    expect(value_of(clients, "at most")).to_have_text(f"{CONNECTIONS_MAX}")
    expect(value_of(clients, "open")).to_have_text(re.compile(r"^\d+$"))


def value_of(region: Locator, series: str) -> Locator:
    """Return the cell of the last value of a series, in the table beside a chart."""
    switch = region.page.get_by_role("button", name=series, exact=True)
    return region.get_by_role("row").filter(has=switch).get_by_role("cell").first


def test_storage_compares_the_batches_in_memory_with_the_servers_own_bound(page: Page) -> None:
    """The alarm says how many bytes batches may have by the running server's setting."""
    page.goto("#storage?refresh=5")
    alarm = page.get_by_role("row").filter(has_text="noetl_api_ingest_bytes stays near")
    words = f"at least, of {INGEST_MIB} MiB"
    expect(alarm).to_contain_text(words, timeout=REPORTED_MILLISECONDS)


def test_hostile_labels_are_texts(page: Page) -> None:
    """Markup, right-to-left letters and 4,096 characters are shown as they are."""
    page.goto(f"#explore?{chart('strange_total', 'count', *HOSTILE)}")
    switch = page.locator(".series-switch")
    expect(switch).to_have_count(1)
    for value in HOSTILE.values():
        assert value in switch.inner_text()
    page.get_by_label("Filter by a label").select_option("script")
    option = page.locator("[role=option]")
    expect(option).to_contain_text(HOSTILE["script"])
    option.click()
    expect(page.get_by_role("button", name="Remove the filter script")).to_be_visible()
    expect(switch).to_have_count(1)
    assert 0 == page.locator("main script, main img").count()
    assert "Explore · NoETL metrics" == page.title()
    assert 0 == overflow(page)
    copied_sql = copied(page, "SQL")
    assert "<script>" in copied_sql


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_ten_thousand_series_are_usable(page: Page) -> None:
    """Of 10,000 values the picker finds one, and a chart of all of them draws the largest."""
    page.goto(f"#explore?{chart('many_values', 'last', 'shard')}")
    drawn = page.get_by_text("The chart draws the 1000 largest of 10000 series")
    expect(drawn).to_be_visible(timeout=20_000)
    expect(page.locator(".series-switch")).to_have_count(100)
    page.get_by_label("Filter by a label").select_option("shard")
    expect(page.get_by_text("The first 50 are shown: type on to find others.")).to_be_visible()
    page.get_by_role("combobox", name="Value of shard").fill("shard-9876")
    expect(page.locator("[role=option]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".series-switch")).to_have_count(1)


def test_the_server_says_why_in_words(page: Page) -> None:
    """An answer that would be cut short is refused, and the chart says what to change."""
    month = {"from": iso(time.time() - 30 * 86_400), "to": iso(time.time())}
    page.goto(f"#explore?{urlencode(month)}&{chart('many_values', 'last', step='1')}")
    said = page.get_by_role("alert")
    expect(said).to_contain_text("step")
    page.goto(f"#explore?{chart('no_such_metric', 'avg')}")
    expect(page.get_by_text("there is no metric 'no_such_metric'")).to_be_visible()


def test_the_tabs_are_accessible_in_both_themes(page: Page) -> None:
    """axe-core finds nothing on any tab in either theme, and a picture of each is kept."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    findings = {}
    for tab in TABS:
        charts = f"&{PROCESSED}&{DURATION}" if tab == "explore" else ""
        page.goto(f"#{tab}?range=1h{charts}")
        settle(page)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=SCREENSHOTS / f"{tab}-{theme}.png", full_page=True)
            # The themes differ in nothing but colours.
            options = {"runOnly": ["color-contrast"]} if theme == "dark" else {}
            findings[tab, theme] = Axe().run(page, options=options).generate_snapshot()
    assert {(tab, theme): "" for tab in TABS for theme in ("light", "dark")} == findings


def settle(page: Page) -> None:
    """Wait until everything is loaded."""
    reload = page.get_by_role("button", name="Reload")
    expect(page.locator(".notice.loading")).to_have_count(0)
    expect(reload).to_have_attribute("aria-busy", "false")


def test_the_tabs_fit_a_phone(browser: Browser, served) -> None:
    """On 360 pixels nothing is wider than the window, and tables are moved by themselves."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with opened_page(browser, served.url, width=360) as page:
        for tab in TABS:
            page.goto(f"#{tab}?range=1h&{PROCESSED}")
            settle(page)
            page.screenshot(path=SCREENSHOTS / f"{tab}-phone.png", full_page=True)
            assert 0 >= overflow(page)


def test_the_theme_is_switched_and_kept(page: Page) -> None:
    """The page has the system's theme until it is switched, and keeps what was chosen."""
    page.goto("#explore")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Light").click()
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")


SCOPES = {"reader": Scope.READ, "writer": Scope.WRITE, "operator": Scope.ADMIN}


class Guarded:
    """A server with tokens, without samples of workers, that a test stops and starts."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._database_url = database_url
        self._tokens = folder / "tokens.txt"
        lines = [
            make_token(name, [scope], hash_token(name * 8)).line() for name, scope in SCOPES.items()
        ]
        self._tokens.write_text("\n".join(lines), encoding="utf-8")
        self.port = free_port()
        self.start()

    def start(self) -> None:
        self.process = start_server(
            self._database_url, f"--port={self.port}", f"--token-file={self._tokens}"
        )
        self.url = self.process.url

    def stop(self) -> None:
        assert self.process.process.stdout is not None
        with self.process.process.stdout:
            assert 0 == self.process.stop()


@pytest.fixture(scope="module")
def guarded(postgresql, tmp_path_factory) -> Generator[Guarded]:
    with postgresql.database() as url:
        server = Guarded(url, tmp_path_factory.mktemp("guarded"))
        yield server
        server.stop()


@pytest.fixture
def guarded_page(browser: Browser, guarded: Guarded) -> Generator[Page]:
    with opened_page(browser, guarded.url) as page:
        yield page


def give_token(page: Page, token: str) -> None:
    field = page.get_by_label("Token with the scope read")
    if not field.is_visible():
        page.get_by_role("button", name="Token", exact=True).click()
    field.fill(token)
    page.keyboard.press("Enter")


def test_the_page_asks_for_a_token_and_keeps_it_to_itself(guarded_page: Page) -> None:
    """Without a token, or with a wrong one, a form says why; the right one is in no URL, and is
    kept for this tab of the browser only."""
    page = guarded_page
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto("#storage")
    form = page.get_by_role("form", name="Token")
    expect(form).to_be_visible()
    give_token(page, "wrong" * 8)
    expect(form.get_by_role("alert")).to_contain_text("token")
    give_token(page, "writer" * 8)
    expect(form.get_by_role("alert")).to_contain_text("needs read")
    token = "reader" * 8
    give_token(page, token)
    expect(form).to_be_hidden()
    expect(page.get_by_role("group", name="Partitions").get_by_role("row").nth(1)).to_be_visible()
    page.reload()
    expect(page.get_by_role("group", name="Partitions").get_by_role("row").nth(1)).to_be_visible()
    assert not any(token in url for url in [page.url, *urls])
    assert 0 == page.evaluate("localStorage.length")
    assert "$NOETL_METRICS_TOKEN" in copied_curl(page)


def test_a_refusal_that_comes_after_the_token_was_given_asks_for_no_other(
    guarded_page: Page,
) -> None:
    """A request that was sent without a token is refused late: the form stays closed, and the
    version, which that request wanted, is shown by another."""
    page = guarded_page
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/version", hold, times=1)
    page.goto("#storage")
    give_token(page, "reader" * 8)
    settle(page)
    with page.expect_response("**/api/version") as refused:
        held[0].continue_()
    assert 401 == refused.value.status
    refused.value.finished()
    page.get_by_role("button", name="Reload").click()
    settle(page)
    expect(page.get_by_role("form", name="Token")).to_be_hidden()
    expect(page.get_by_text(re.compile(r"^server_stub \d"))).to_be_visible()


def copied_curl(page: Page) -> str:
    page.goto(f"#explore?{PROCESSED}")
    settle(page)
    text = copied(page, "curl")
    assert "reader" not in text
    return text


def test_deleting_wants_a_token_that_may(guarded_page: Page, guarded: Guarded) -> None:
    """A token without the scope admin deletes nothing, and the dialog says what to do."""
    page = guarded_page
    headers = {"Authorization": f"Bearer {'operator' * 8}"}
    httpx.post(
        f"{guarded.url}/api/worker/pool/register", json={"name": "kept"}, headers=headers
    ).raise_for_status()
    page.goto("#workers")
    give_token(page, "reader" * 8)
    row = page.get_by_role("group", name="Components").get_by_role("row").filter(has_text="kept")
    row.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("needs admin")
    dialog.get_by_role("button", name="Close").click()
    expect(row).to_have_count(1)
    give_token(page, "operator" * 8)
    row.get_by_role("button").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)


def test_an_empty_database_is_said_to_be_empty(guarded_page: Page) -> None:
    """Each tab says what there is not."""
    page = guarded_page
    page.goto("#jobs")
    give_token(page, "reader" * 8)
    expect(
        page.get_by_text("No job has ended in this range: track_job counts them.")
    ).to_be_visible()
    expect(page.get_by_text("No job has failed in this range.")).to_be_visible()
    page.goto("#workers")
    expect(page.get_by_text("No worker has dropped a sample in this range.")).to_be_visible()
    page.goto("#storage")
    expect(page.get_by_text("No sample was rejected in this range.")).to_be_visible()
    page.goto("#explore")
    expect(page.get_by_text("Choose a metric by its name above.")).to_be_visible()


def test_a_server_that_goes_away_and_comes_back(guarded_page: Page, guarded: Guarded) -> None:
    """What is shown stays, with the time since when the server is away, and goes on by itself."""
    page = guarded_page
    page.goto("#storage?refresh=5")
    give_token(page, "reader" * 8)
    rows = page.get_by_role("group", name="Partitions").get_by_role("row")
    expect(rows.nth(1)).to_be_visible()
    settle(page)
    guarded.stop()
    away = page.get_by_text(re.compile(r"The server does not answer since \d\d:\d\d:\d\d"))
    page.get_by_role("button", name="Reload").click()
    expect(away).to_be_visible()
    expect(rows.nth(1)).to_be_visible()
    expect(page.get_by_text(re.compile("What is shown is from")).first).to_be_visible()
    guarded.start()
    expect(away).to_have_count(0)
    settle(page)
    expect(page.get_by_role("alert")).to_have_count(0)
