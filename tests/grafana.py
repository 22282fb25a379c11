"""Expands a query as Grafana does before a database sees it, for tests that have no Grafana.

The macros come from Grafana's PostgreSQL data source, in pkg/tsdb/grafana-postgresql-datasource
(macros.go, and Interpolate in sqleng/sql_engine.go) of https://github.com/grafana/grafana. The
variables are described at
https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent.parent / "examples" / "grafana"
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600}


class Dashboard:
    """A dashboard as Grafana imports it.

    Args:
        name: the name of its file.
    """

    def __init__(self, name: str) -> None:
        self.json: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
        self.panels: dict[str, Any] = {panel["title"]: panel for panel in self.json["panels"]}
        self.variables: dict[str, Any] = {
            variable["name"]: variable for variable in self.json["templating"]["list"]
        }

    def interval_seconds(self, title: str) -> int:
        """Return the least interval that a panel asks for, in seconds."""
        interval = self.panels[title]["interval"]
        return int(interval[:-1]) * _UNIT_SECONDS[interval[-1]]


class TimeRange(NamedTuple):
    """The range that a user picks in Grafana's time picker, in whole seconds since the epoch."""

    start: int
    end: int


def expanded_sql(
    sql: str, shown: TimeRange, interval_seconds: int, variables: Mapping[str, Sequence[str]]
) -> str:
    """Return a query as PostgreSQL gets it.

    Raises:
        ValueError: the query has a macro that Grafana or this module does not know.
    """
    for name, values in variables.items():
        quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        sql = sql.replace(f"${{{name}:sqlstring}}", quoted)
    sql = sql.replace("$__interval_ms", str(interval_seconds * 1_000))
    sql = sql.replace("$__interval", f"{interval_seconds}s")
    sql = sql.replace("$__unixEpochFrom()", str(shown.start))
    sql = sql.replace("$__unixEpochTo()", str(shown.end))

    def macro(match: re.Match[str]) -> str:
        arguments = [argument.strip() for argument in match[2].split(",")]
        is_followed_by_comma = match.string[match.end() : match.end() + 1] == ","
        return _macro(match[1], arguments, shown, is_followed_by_comma=is_followed_by_comma)

    sql = re.sub(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)", macro, sql)
    left = re.search(r"\$(\w+|\{[^}]*\})", sql)
    if left:
        raise ValueError(f"{left[0]} is not expanded: {sql}")
    return sql


def _macro(name: str, arguments: list[str], shown: TimeRange, *, is_followed_by_comma: bool) -> str:
    start, end = (
        datetime.fromtimestamp(seconds, UTC).strftime("'%Y-%m-%dT%H:%M:%SZ'") for seconds in shown
    )
    match name:
        case "__timeFrom":
            return start
        case "__timeTo":
            return end
        case "__timeFilter":
            return f"{arguments[0]} BETWEEN {start} AND {end}"
        case "__timeGroup" | "__timeGroupAlias":
            assert arguments[1].endswith("s")
            seconds = arguments[1].removesuffix("s")
            group = f"floor(extract(epoch from {arguments[0]})/{seconds})*{seconds}"
            # As before Grafana 5.3: behind a comma the group becomes a column of its own.
            is_column = name == "__timeGroupAlias" or is_followed_by_comma
            return f'{group} AS "time"' if is_column else group
    raise ValueError(f"unknown macro ${name}")


def expanded_promql(
    expression: str, shown: TimeRange, rate_interval: str, variables: Mapping[str, str]
) -> str:
    """Return an expression as Prometheus gets it.

    Args:
        expression: the expression of the panel.
        shown: the time range that the dashboard shows.
        rate_interval: the value of `$__rate_interval`: at least four scrape intervals.
        variables: each variable's name, and its regular expression.
    """
    expression = expression.replace("$__rate_interval", rate_interval)
    expression = expression.replace("$__range", f"{shown.end - shown.start}s")
    for name, pattern in variables.items():
        expression = expression.replace(f"${name}", pattern)
    assert "$" not in expression
    return expression
