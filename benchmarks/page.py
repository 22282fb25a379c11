"""How long an operator waits for the page, in a real Chromium, beside the server's own share.

Usage: ./scripts/bench page [--rounds N] [--rows N] [--json FILE]

A picker of 10,000 values, a chart of 10,000 series, and a chart of as many points as an answer may
have.
"""

from __future__ import annotations

import shutil
import statistics
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import psycopg
from playwright.sync_api import expect, sync_playwright
from started_server import server_command, started_server
from tables import LIMIT, OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.postgresql.schema import apply_schema

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MANY_SERIES = 10_000
POINTS_OF_A_SERIES = 1_000
STEP_SECONDS = 15

# Samples of so many series, each with so many samples up to now.
INSERT = """
INSERT INTO noetl.metric (
    runtime_id, metric_name, metric_type, metric_value, labels, "timestamp", expires_at
)
SELECT
    %(runtime_id)s, %(metric_name)s, 'gauge', random() + shard,
    jsonb_build_object('shard', 'shard-' || shard),
    now() - make_interval(secs => point * %(step)s::int), now() + interval '1 day'
FROM generate_series(1, %(series)s) AS shard, generate_series(0, %(points)s - 1) AS point
"""

# Until the frame after a move of the mouse over the chart is there, in milliseconds.
HOVER = """async () => {
    const over = document.querySelector('.u-over');
    const {left, top, width, height} = over.getBoundingClientRect();
    const frame = () => new Promise(requestAnimationFrame);
    const times = [];
    for (let at = 0; at < 20; at += 1) {
        await frame();
        const started = performance.now();
        const place = {clientX: left + width * (0.2 + 0.03 * at), clientY: top + height / 2};
        over.dispatchEvent(new MouseEvent('mousemove', {...place, bubbles: true}));
        await frame();
        await frame();
        times.push(performance.now() - started);
    }
    return times.sort((one, other) => one - other)[10];
}"""

# What the answer of the chart took, and how long after it the chart was there.
CHART = """() => {
    const now = performance.now();
    const asked = performance.getEntriesByType('resource').filter(
        (entry) => entry.name.includes('/api/metrics/series?')).at(-1);
    return [asked.duration, now - asked.responseEnd];
}"""


def fill(database_url: str, points: int) -> None:
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("SELECT noetl.initialize_metric_partitions()")
        row = database.execute(
            "INSERT INTO noetl.runtime (runtime_id, name, component_type, status, last_heartbeat)"
            " VALUES (1, 'bench', 'worker_pool', 'ready', now()) RETURNING runtime_id"
        ).fetchone()
        assert row is not None
        common = {"runtime_id": row[0], "step": STEP_SECONDS}
        for name, series, of_each in (
            ("many_series", MANY_SERIES, 1),
            ("many_points", points // POINTS_OF_A_SERIES, POINTS_OF_A_SERIES),
        ):
            database.execute(
                INSERT, common | {"metric_name": name, "series": series, "points": of_each}
            )
        database.execute("ANALYZE noetl.metric")


def chart_address(url: str, metric: str, range_: str) -> str:
    chart = urlencode(
        [("metric", metric), ("show", "last"), ("by", "shard"), ("step", STEP_SECONDS)]
    )
    return f"{url}/ui/#explore?{urlencode({'range': range_, 'refresh': 0, 'chart': chart})}"


def open_chart(page: Page, url: str, metric: str, range_: str) -> dict[str, tuple[float, float]]:
    page.goto(chart_address(url, metric, range_))
    page.locator(".series-switch").first.wait_for(timeout=120_000)
    asked, drawn = page.evaluate(CHART)
    return {
        f"{metric}: asked, and drawn": (asked + drawn, asked),
        f"{metric}: a move of the mouse": (page.evaluate(HOVER), 0.0),
    }


def search_picker(page: Page) -> dict[str, tuple[float, float]]:
    page.get_by_label("Filter by a label").select_option("shard")
    field = page.get_by_role("combobox", name="Value of shard")
    expect(field).to_be_focused()
    started_at = page.evaluate("performance.now()")
    page.keyboard.type("9876")
    page.locator("[role=option]").filter(has_text="shard-9876").wait_for(timeout=60_000)
    took = page.evaluate("performance.now()") - started_at
    return {"a value among 10,000, typed": (took, 0.0)}


def measure_once(browser: Browser, url: str) -> dict[str, tuple[float, float]]:
    """Return what each step takes in milliseconds, and the server's share of it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    try:
        page.goto(f"{url}/ui/")
        page.get_by_role("combobox", name="Metric", exact=True).wait_for()
        figures = {"the page itself": (page.evaluate("performance.now()"), 0.0)}
        figures |= open_chart(page, url, "many_series", "5m")
        figures |= search_picker(page)
        page.goto("about:blank")
        figures |= open_chart(page, url, "many_points", "5h")
    finally:
        page.close()
    return figures


def main() -> None:
    options = arguments(__doc__, rows=500_000, rounds=5)
    introduce()
    with ExitStack() as stack:
        database_url = stack.enter_context(embedded_database(None))
        apply_schema(database_url)
        fill(database_url, options.rows)
        port = stack.enter_context(started_server(server_command(database_url)))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        stack.callback(browser.close)
        rounds = [measure_once(browser, f"http://127.0.0.1:{port}") for _ in range(options.rounds)]
    report = Report("What an operator waits for; the limit is the server's answer", "ms")
    for step in rounds[0]:
        waits, answers = zip(*(one[step] for one in rounds), strict=True)
        row = {OURS: statistics.median(waits)}
        if any(answers):
            row[LIMIT] = statistics.median(answers)
        report.add(step, row)
    publish([report], options.json)


if __name__ == "__main__":
    main()
