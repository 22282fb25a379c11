"""The focus, what is typed and what is read on the operators' page, while it is made anew."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from server_stub.auth.tokens import Scope, hash_token, make_token
from tests.acceptance.operators_page import chart, panel, post_samples, reload
from tests.browser import needs_chromium, opened_page, running_chromium
from tests.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page, Route

    from tests.postgresql import Cluster
    from tests.server_process import ServerProcess

QUEUES = ("first", "second")
DEPTH = chart("queue_depth", "max", "queue")
LOWEST = chart("queue_depth", "min", "queue")
CROWD = 150
PROCESSED = "noetl_jobs_processed_total"
# Requests of the page whose answers the tests hold up.
LABELS = re.compile(r"/api/metrics/labels\?")
SERIES = re.compile(r"/api/metrics/series\?")
COMPONENT = re.compile(r"/api/runtime/\d+$")

# A browser does the same under every interpreter.
pytestmark = [pytest.mark.once, needs_chromium]


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(postgresql: Cluster) -> Generator[ServerProcess]:
    """A server that has a sample of each of some series."""
    with postgresql.database() as url:
        server = start_server(url)
        assert server.process.stdout is not None
        with server.process.stdout:
            post_samples(
                server.url, "queues", [("queue_depth", {"queue": name}) for name in QUEUES]
            )
            crowd = [("crowd_size", {"place": str(number)}) for number in range(CROWD)]
            post_samples(server.url, "crowd", crowd)
            yield server
            assert 0 == server.stop()


@pytest.fixture
def page(browser: Browser, served: ServerProcess) -> Generator[Page]:
    with opened_page(browser, served.url) as page:
        yield page


def switch_of(within: Page | Locator, name: str) -> Locator:
    return within.get_by_role("button", name=name, exact=True)


def look_at_another_window(field: Locator) -> None:
    """Have a field lose the focus and get it back, as when the browser's window does."""
    field.dispatch_event("blur")
    field.dispatch_event("focus")


def hold(page: Page, requests: re.Pattern[str]) -> list[Route]:
    """Hold requests back; return those that wait, to which the test gives what they get."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(requests, keep)
    return held


def test_a_job_type_is_chosen_by_the_keyboard(page: Page, served: ServerProcess) -> None:
    """The choice keeps the focus when it is used, and when a reload finds another type."""
    post_samples(served.url, "jobs", [(PROCESSED, {"job_type": "sql"})])
    page.goto("#jobs")
    job_type = page.get_by_role("combobox", name="Job type", exact=True)
    expect(job_type.locator("option")).to_have_text(["all", "sql"])
    job_type.focus()
    page.keyboard.type("sql")
    expect(page).to_have_url(re.compile("jobType=sql"))
    expect(job_type).to_be_focused()
    post_samples(served.url, "jobs", [(PROCESSED, {"job_type": "http"})])
    reload(page)
    expect(job_type.locator("option")).to_have_text(["all", "http", "sql"])
    expect(job_type).to_have_value("sql")
    expect(job_type).to_be_focused()


def test_a_reload_scrolls_nothing(page: Page) -> None:
    """A reload leaves the focus where it is, though its element is out of sight."""
    page.goto(f"#explore?{'&'.join([DEPTH] * 3)}")
    last = panel(page, "queue_depth: max by queue").last
    expect(switch_of(last, "queue=second")).to_be_visible()
    reload(page)
    first = switch_of(panel(page, "queue_depth: max by queue").first, "queue=second")
    first.click()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    scrolled = page.evaluate("scrollY")
    assert 0 < scrolled
    reload(page)
    expect(first).to_be_focused()
    assert scrolled == page.evaluate("scrollY")


def test_times_are_typed_in_peace(page: Page) -> None:
    """A field of the range keeps the focus and its text until the range is a right one."""
    page.goto(f"#explore?{DEPTH}")
    page.get_by_label("Range").select_option("absolute")
    start, end = page.get_by_label("From", exact=True), page.get_by_label("To", exact=True)
    start.focus()
    page.keyboard.type("0")  # the first digit of a day
    expect(start).to_be_focused()
    start.fill("2030-01-01T00:00")
    mistake = page.get_by_text("The end has to be after the start.")
    expect(mistake).to_be_visible()
    reload(page)
    expect(start).to_be_focused()
    expect(start).to_have_value("2030-01-01T00:00")
    end.fill("2030-01-02T00:00")
    expect(mistake).to_have_count(0)
    expect(page).to_have_url(re.compile("from=2030-01-01.*to=2030-01-02"))
    page.go_back()
    expect(page.get_by_label("Range")).to_have_value("1h")
    page.go_forward()
    expect(end).to_have_value("2030-01-02T00:00")
    end.fill("2030-01-03T00:00")
    expect(page).to_have_url(re.compile("to=2030-01-03"))
    page.go_back()
    expect(end).to_have_value("2030-01-02T00:00")


def test_a_dialog_gives_the_focus_back(page: Page, served: ServerProcess) -> None:
    """It is on the button again, though a reload has replaced that, or on the table without it."""
    post_samples(served.url, "leaving", [("leaving_total", {})])
    page.goto("#workers")
    components = page.get_by_role("group", name="Components")
    delete = components.get_by_role("button", name="Delete leaving …")
    delete.click()
    reload(page)
    page.keyboard.press("Escape")
    expect(delete).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(delete).to_have_count(0)
    expect(components).to_be_focused()


def test_a_deletion_that_fails_after_its_dialog_is_said(page: Page, served: ServerProcess) -> None:
    """Who has closed the dialog before the answer learns that the component is still there."""
    post_samples(served.url, "staying", [("staying_total", {})])
    page.goto("#workers")
    held = hold(page, COMPONENT)
    page.get_by_role("button", name="Delete staying …").click()
    dialog = page.get_by_role("dialog")
    with page.expect_request(COMPONENT):
        dialog.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    held[0].fulfill(status=503, json={"detail": "the database is busy"})
    expect(dialog).to_contain_text("The component was not deleted")
    expect(dialog).to_contain_text("staying")
    expect(dialog).to_contain_text("the database is busy")


def test_the_form_for_the_token_takes_no_key(
    browser: Browser, database_url: str, tmp_path: Path
) -> None:
    """It opens by itself beside a field that is typed in; once closed, the focus is back."""
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(make_token("reader", [Scope.READ], hash_token("reader" * 8)).line())
    with ExitStack() as stack:
        server = start_server(database_url, f"--token-file={tokens}")
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.stop)
        page = stack.enter_context(opened_page(browser, server.url))
        page.goto("#explore")
        form = page.get_by_role("form", name="Token")
        form.get_by_label("Token with the scope read").fill("reader" * 8)
        page.keyboard.press("Enter")
        expect(form).to_be_hidden()
        metric = page.get_by_role("combobox", name="Metric")
        metric.focus()
        page.evaluate("sessionStorage.setItem('noetl-metrics-token', 'revoked'.repeat(8))")
        page.keyboard.type("queue")
        expect(form).to_be_visible()
        page.keyboard.type("_depth")
        expect(metric).to_have_value("queue_depth")
        button = page.get_by_role("button", name="Token", exact=True)
        button.click()
        expect(form.get_by_label("Token with the scope read")).to_be_focused()
        expect(form.get_by_role("alert")).to_contain_text("token")
        form.get_by_role("button", name="Cancel").click()
        expect(button).to_be_focused()
        metric.focus()  # its suggestions are refused
        expect(form).to_be_visible()
        form.get_by_role("button", name="Cancel").click()
        expect(metric).to_be_focused()


def test_what_is_typed_outlasts_a_look_at_another_window(page: Page) -> None:
    """A part of a metric's name, or of a filter's value, is typed on when the user is back."""
    page.goto(f"#explore?{DEPTH}")
    metric = page.get_by_role("combobox", name="Metric")
    metric.click()
    metric.fill("crowd")
    look_at_another_window(metric)
    page.keyboard.type("_size")
    expect(metric).to_have_value("crowd_size")
    page.keyboard.press("Escape")
    page.get_by_label("Filter by a label").select_option("queue")
    value = page.get_by_role("combobox", name="Value of queue")
    expect(value).to_be_focused()
    page.keyboard.type("sec")
    look_at_another_window(value)
    page.keyboard.type("ond")
    expect(value).to_have_value("second")


def test_a_filter_is_given_up(page: Page) -> None:
    """Escape, or leaving the field for its value empty, brings the choice of a label back."""
    page.goto(f"#explore?{DEPTH}")
    add = page.get_by_label("Filter by a label")
    value = page.get_by_role("combobox", name="Value of queue")
    add.select_option("queue")
    expect(page.locator("[role=option]").first).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(add).to_be_focused()
    expect(add).to_have_value("")
    add.select_option("queue")
    expect(value).to_be_focused()
    page.get_by_role("button", name="Reload").focus()
    expect(value).to_have_count(0)
    expect(add).to_have_value("")


def test_the_note_under_suggestions_is_no_way_out(page: Page) -> None:
    """A click beside the suggestions, as on their scrollbar, leaves what is typed."""
    page.goto(f"#explore?{DEPTH}")
    metric = page.get_by_role("combobox", name="Metric")
    metric.click()
    metric.fill("none_has_this")
    note = page.get_by_text("Nothing has this in its name.")
    note.click()
    expect(note).to_be_visible()
    expect(metric).to_be_focused()
    expect(metric).to_have_value("none_has_this")


def test_a_reload_leaves_the_focus_on_a_tab(page: Page) -> None:
    """Enter opens the tab to which the focus has gone, also after a reload."""
    page.goto(f"#explore?{DEPTH}")
    tabs = page.get_by_role("navigation", name="Tabs")
    storage = tabs.get_by_role("link", name="Storage")
    storage.focus()
    reload(page)
    expect(storage).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#storage"))
    expect(storage).to_have_attribute("aria-current", "page")
    expect(tabs.get_by_role("link", name="Explore")).not_to_have_attribute("aria-current", "page")
    expect(storage).to_be_focused()


def test_the_link_to_the_content_leaves_the_tab(page: Page) -> None:
    """It gives the focus to what the tab shows."""
    page.goto("#storage")
    page.get_by_role("link", name="To the content").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("group", name="Partitions")).to_be_visible()
    expect(page).to_have_url(re.compile("#storage"))


def test_a_link_to_another_tab_leads_into_it(page: Page) -> None:
    """The keys go on in the tab that a panel's link has opened."""
    page.goto("#jobs")
    page.get_by_role("link", name="Explore", exact=True).nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Add a chart")).to_be_visible()
    expect(page.get_by_role("main")).to_be_focused()


def test_a_removed_chart_takes_only_itself(page: Page) -> None:
    """The others keep the series that are switched off, also after Back, and the next one gets the
    focus."""
    page.goto(f"#explore?{DEPTH}&{LOWEST}")
    maximum = switch_of(panel(page, "queue_depth: max by queue").last, "queue=first")
    minimum = switch_of(panel(page, "queue_depth: min by queue"), "queue=first")
    minimum.click()
    expect(minimum).to_have_attribute("aria-pressed", "false")
    expect(maximum).to_have_attribute("aria-pressed", "true")
    panels = panel(page, "queue_depth: max by queue")
    panels.get_by_role("button", name="Duplicate").click()
    expect(panels).to_have_count(2)
    page.go_back()
    expect(panels).to_have_count(1)
    expect(minimum).to_have_attribute("aria-pressed", "false")
    remove = page.get_by_role("button", name="Remove", exact=True)
    remove.first.click()
    expect(panels).to_have_count(0)
    expect(minimum).to_have_attribute("aria-pressed", "false")
    expect(remove).to_be_focused()
    page.go_back()
    expect(maximum).to_have_attribute("aria-pressed", "true")
    expect(minimum).to_have_attribute("aria-pressed", "false")
    remove.last.click()
    expect(remove).to_have_count(1)
    expect(remove).to_be_focused()
    remove.click()
    expect(page.get_by_role("combobox", name="Metric")).to_be_focused()


def test_an_old_answer_is_not_shown_as_a_new_one(page: Page) -> None:
    """Labels that come after a failed request for the series do not take its error away."""
    page.route(LABELS, lambda route: route.fulfill(status=400, json={"detail": "not now"}))
    page.goto(f"#explore?{DEPTH}")
    expect(switch_of(page, "queue=second")).to_be_visible()
    page.unroute(LABELS)
    held = hold(page, LABELS)
    page.route(SERIES, lambda route: route.fulfill(status=400, json={"detail": "it is refused"}))
    page.get_by_role("button", name="Reload").click()
    error = page.get_by_text("it is refused")
    expect(error).to_be_visible()
    held[0].continue_()
    chip = page.get_by_role("button", name=re.compile("^queue 2$"))
    expect(chip).to_be_visible()
    expect(error).to_be_visible()


def test_more_rows_are_shown_by_the_keyboard(page: Page) -> None:
    """The table keeps the focus when its button has shown all there is."""
    page.goto(f"#explore?{chart('crowd_size', 'max', 'place')}")
    table = page.get_by_role("group", name="Values of the series")
    more = table.get_by_role("button", name="Show 50 more")
    more.focus()
    reload(page)
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    expect(table.get_by_role("row")).to_have_count(1 + CROWD)
    expect(table).to_be_focused()


def test_a_search_follows_the_state(page: Page) -> None:
    """A search that comes with another URL stands in the field, though that has the focus."""
    page.goto("#workers")
    find = page.get_by_label("Find")
    find.fill("crowd")
    expect(page).to_have_url(re.compile("search=crowd"))
    page.evaluate("location.hash = '#workers?search=queues'")
    expect(find).to_have_value("queues")
    expect(find).to_be_focused()
    page.go_back()
    expect(find).to_have_value("crowd")
