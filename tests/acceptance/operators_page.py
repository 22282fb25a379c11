"""What tests of the operators' page do with it, and the samples that they post."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# The browser and the server may share a core with all other tests.
expect.set_options(timeout=15_000)


def chart(metric: str, show: str, *by: str, **fields: str) -> str:
    """Return a chart as it stands in the page's URL."""
    pairs = [("metric", metric), ("show", show), *(("by", name) for name in by), *fields.items()]
    return urlencode({"chart": urlencode(pairs)})


def post_samples(url: str, component: str, samples: list[tuple[str, dict[str, str]]]) -> None:
    body = {
        "component_name": component,
        "metrics": [
            {
                "metric_name": name,
                "metric_type": "counter" if name.endswith("_total") else "gauge",
                "metric_value": 1,
                "labels": labels,
            }
            for name, labels in samples
        ],
    }
    httpx.post(f"{url}/api/worker/pool/register", json={"name": component}).raise_for_status()
    answer = httpx.post(f"{url}/api/metrics", json=body, timeout=60).raise_for_status().json()
    assert len(samples) == answer["metrics_inserted"]


def panel(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def reload(page: Page) -> None:
    """Load again as the refresh does, without a key or the mouse; return when it is shown."""
    again = page.get_by_role("button", name="Reload")
    again.dispatch_event("click")
    expect(again).to_have_attribute("aria-busy", "false")
