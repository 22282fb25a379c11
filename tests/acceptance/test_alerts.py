"""The rule files in examples/alerts: each alarm fires when it should, and names what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml

from noetl_metrics_sdk import Registry
from noetl_metrics_sdk.jobs.collector import JobCollector
from noetl_metrics_sdk.system.families import FAMILY_DEFINITIONS
from server_stub.statistics import ExportGauges, Statistics

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "examples" / "alerts"
FILES = sorted(FOLDER.glob("*.yml"))
PAGE = (ROOT / "docs/alarms.md").read_text(encoding="utf-8")
PAGE_ADDRESS = "https://github.com/noetl/noetl-metrics-sdk/blob/main/docs/alarms.md"
# Prometheus makes this one of each scrape.
NAMES_OF_PROMETHEUS = {"up"}
HISTOGRAM_SUFFIXES = ("", "_total", "_bucket", "_sum", "_count")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: Debian's prometheus has it"
)


def alarms_of(path):
    """Return the alarms of a rule file by their names."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


ALARMS = {name: rule for path in FILES for name, rule in alarms_of(path).items()}


def run(*command):
    result = subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == result.returncode, (command, result.stdout, result.stderr)


@needs_promtool
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_prometheus_takes_the_rules(path):
    """Prometheus' own checker finds nothing wrong with a file of rules."""
    run("promtool", "check", "rules", path.name)


@pytest.mark.skipif(
    shutil.which("vmalert") is None, reason="vmalert is not installed: victoria-metrics has it"
)
def test_vmalert_takes_the_rules():
    """vmalert takes the same files."""
    run("vmalert", "-dryRun", "-rule=*.yml")


@needs_promtool
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_alarm_fires_when_it_should_and_no_earlier(path):
    """Each alarm fires at what it is about, and not at what is just short of it."""
    run("promtool", "test", "rules", f"tests/{path.name}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_alarm_has_a_case_and_a_near_miss(path):
    """The tests of a file have a case in which each alarm fires, and one in which it does not."""
    tests = yaml.safe_load((FOLDER / "tests" / path.name).read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for fires in (True, False):
        tested = {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires}
        assert set(alarms_of(path)) == tested


def known_names():
    """Return the names of all samples that the server, the SDK and its job metrics may have."""
    statistics = Statistics()
    ExportGauges(statistics.registry)
    registry = Registry()
    registry.register(JobCollector())
    collected = [*statistics.registry.collect(), *registry.collect()]
    names = {family.name + suffix for family in collected for suffix in HISTOGRAM_SUFFIXES}
    client = (ROOT / "docs/client.md").read_text(encoding="utf-8")
    return names | set(re.findall(r"^\| `(noetl_metrics_sdk_\w+)` \|", client, re.MULTILINE))


def test_the_expressions_name_metrics_that_there_are():
    """No alarm waits for a metric that no program here reports."""
    known = known_names() | set(FAMILY_DEFINITIONS) | NAMES_OF_PROMETHEUS
    for name, rule in ALARMS.items():
        used = set(re.findall(r"\b(?:noetl|system)_\w+|\bup\b", rule["expr"]))
        assert used, name
        assert set() == used - known, name


def test_the_labels_of_requests_are_those_that_the_server_gives(server):
    """The routes by which alarms choose requests are written as in the server's own metrics."""
    assert 200 == httpx.get(f"{server.url}/readyz").status_code
    refused = httpx.post(f"{server.url}/api/metrics", json={})
    assert 400 <= refused.status_code < 500
    assert 0 == server.stop()
    with psycopg.connect(server.database_url) as connection:
        rows = connection.execute(
            "SELECT labels->>'endpoint', labels->>'method', labels->>'status' FROM noetl.metric "
            "WHERE metric_name = 'noetl_api_requests_total'"
        ).fetchall()
    expected = {("/readyz", "GET", "200"), ("/api/metrics", "POST", str(refused.status_code))}
    assert set() == expected - set(rows)
    written = "\n".join(rule["expr"] for rule in ALARMS.values())
    assert {"/readyz", "/api/metrics(/report)?"} == set(
        re.findall(r'endpoint!?=~?"([^"]+)"', written)
    )


def test_the_page_says_of_each_alarm_what_to_do():
    """docs/alarms.md has a heading for each alarm, and the alarm's link leads there."""
    assert sorted(ALARMS) == sorted(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE))
    for name, rule in ALARMS.items():
        assert f"{PAGE_ADDRESS}#{name.lower()}" == rule["annotations"]["runbook_url"]
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_list_of_operations_md_has_the_same_alarms():
    """docs/operations.md lists each alarm, beside metrics that its expression has."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    section = text.partition("## Watching it")[2]
    listed = {}
    for first, links in re.findall(r"^\| (.*?) \| (.*\(alarms\.md#.*) \|$", section, re.MULTILINE):
        for name, target in re.findall(r"\[(\w+)\]\(alarms\.md#(\w+)\)", links):
            assert name.lower() == target
            listed[name] = first
    assert set(ALARMS) == set(listed)
    for name, first in listed.items():
        for metric in re.findall(r"`((?:noetl|system)_\w+)`", first):
            assert metric in ALARMS[name]["expr"], (name, metric)
