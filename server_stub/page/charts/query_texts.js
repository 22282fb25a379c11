// What stands behind a chart, for other tools: a curl command, PromQL, and SQL on noetl.metric.

import { apiUrl } from "../api/request.js";
import { COMPONENT_LABELS, seriesParameters } from "../state/chart_definition.js";

function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Return the command that gets a chart's points. */
export function asCurl(chart, window, hasToken) {
  const parameters = Object.entries(seriesParameters(chart, window)).filter(
    ([, value]) => value !== "",
  );
  const lines = [
    `curl -s --get ${shellQuoted(apiUrl("api/metrics/series").href)}`,
    ...parameters.map(([name, value]) => `--data-urlencode ${shellQuoted(`${name}=${value}`)}`),
  ];
  if (hasToken) lines.push('-H "Authorization: Bearer $NOETL_METRICS_TOKEN"');
  return lines.join(" \\\n  ");
}

// A range in PromQL needs two samples, and a worker sends an unchanged series once a minute.
const PROMQL_RANGE_SECONDS_MIN = 120;
const PROMQL_LABELS = { component_name: "component" };

/** Return the expression that is nearest to a chart over the server's page for Prometheus. */
export function asPromQL(chart, window) {
  const { metric, aggregation } = chart;
  const by = chart.groupBy.map((name) => PROMQL_LABELS[name] ?? name);
  const filters = chart.filters.map(
    ({ name, value }) => `${PROMQL_LABELS[name] ?? name}=${JSON.stringify(value)}`,
  );
  const selector = filters.length > 0 ? `{${filters.join(", ")}}` : "";
  const seconds = Math.max(chart.step || window.step, PROMQL_RANGE_SECONDS_MIN);
  const over = (name, metricName = metric) => `${name}(${metricName}${selector}[${seconds}s])`;
  const grouped = (name, labels = by) =>
    labels.length > 0 ? `${name} by (${labels.join(", ")}) ` : `${name} `;
  switch (aggregation) {
    case "rate":
    case "increase":
      return `${grouped("sum")}(${over(aggregation)})`;
    case "sum":
      return `${grouped("sum")}(${metric}${selector})`;
    case "count":
      return `${grouped("sum")}(${over("count_over_time")})`;
    case "last":
      return `${grouped("max")}(${over("last_over_time")})`;
    case "quantile": {
      const name = metric.endsWith("_bucket") ? metric : `${metric}_bucket`;
      const counts = `${grouped("sum", ["le", ...by])}(${over("rate", name)})`;
      return `histogram_quantile(${chart.quantile}, ${counts})`;
    }
    default:
      return `${grouped(aggregation)}(${over(`${aggregation}_over_time`)})`;
  }
}

function literal(text) {
  return `'${text.replaceAll("'", "''")}'`;
}

function columnOf(name) {
  const own = { component_name: "r.name", component_type: "r.component_type" };
  if (name === "runtime_id") return "m.runtime_id";
  return own[name] ?? `m.labels->>${literal(name)}`;
}

function conditions(chart, metric, start, end) {
  const lines = [
    `m.metric_name = ${literal(metric)}`,
    `m.timestamp >= ${literal(start)}`,
    `m.timestamp < ${literal(end)}`,
  ];
  const labels = {};
  for (const { name, value } of chart.filters) {
    if (COMPONENT_LABELS.includes(name)) lines.push(`${columnOf(name)} = ${literal(value)}`);
    else if (value === "") lines.push(`coalesce(${columnOf(name)}, '') = ''`);
    else labels[name] = value;
  }
  if (Object.keys(labels).length > 0) {
    lines.push(`m.labels @> ${literal(JSON.stringify(labels))}::jsonb`);
  }
  return lines.join("\n    AND ");
}

const OVER_SAMPLES = {
  avg: "avg(value)",
  min: "min(value)",
  max: "max(value)",
  count: "count(*)",
  last: "(array_agg(value ORDER BY timestamp DESC))[1]",
  sum: "sum(value)",
  increase: "sum(increase)",
};

/** Return the query for PostgreSQL that computes a chart's points from the table of samples. */
export function asSQL(chart, window) {
  const { aggregation } = chart;
  const step = Number(chart.step || window.step);
  // Whole buckets, as the server makes them.
  const start = Math.floor(window.start / step) * step;
  const end = Math.ceil(window.end / step) * step;
  const isQuantile = aggregation === "quantile";
  const isGrowth = isQuantile || aggregation === "rate" || aggregation === "increase";
  const metric =
    isQuantile && !chart.metric.endsWith("_bucket") ? `${chart.metric}_bucket` : chart.metric;
  const groups = isQuantile ? [...chart.groupBy, "le"] : chart.groupBy;
  const names = groups.map((name) => `"${name.replaceAll('"', '""')}"`);
  // The difference to a sample before the range is the first bucket's increase.
  const before = isGrowth ? Math.max(300, step) : 0;
  const at = (seconds) => new Date(seconds * 1_000).toISOString();
  const selected = [
    "m.timestamp",
    "m.metric_value AS value",
    "m.runtime_id AS series_component",
    "m.labels AS series_labels",
    `date_bin('${step} s', m.timestamp, 'epoch'::timestamptz) AS bucket`,
    ...groups.map((name, place) => `${columnOf(name)} AS ${names[place]}`),
  ];
  const samples = [
    `SELECT ${selected.join(",\n      ")}`,
    "  FROM noetl.metric AS m JOIN noetl.runtime AS r USING (runtime_id)",
    `  WHERE ${conditions(chart, metric, at(start - before), at(end))}`,
  ].join("\n  ");
  const ctes = [`samples AS (\n    ${samples}\n)`];
  let source = "samples";
  if (isGrowth) {
    ctes.push(GROWTH);
    source = "increases";
  } else if (aggregation === "sum") {
    ctes.push(LATEST);
    source = "latest";
  }
  let value = OVER_SAMPLES[isQuantile || aggregation === "rate" ? "increase" : aggregation];
  if (aggregation === "rate") value += ` / ${step}`;
  const keys = ["bucket", ...names].join(", ");
  const where = isGrowth ? `\nWHERE increase IS NOT NULL AND bucket >= ${literal(at(start))}` : "";
  const note = isQuantile
    ? `-- The observations of each bucket of the histogram, by which quantile ${chart.quantile} is interpolated.\n`
    : "";
  return (
    `${note}WITH ${ctes.join(", ")}\nSELECT ${keys}, ${value} AS value\nFROM ${source}${where}\n` +
    `GROUP BY ${keys}\nORDER BY ${keys};`
  );
}

const GROWTH = `differences AS (
    SELECT *, lag(value) OVER (
        PARTITION BY series_component, series_labels ORDER BY timestamp) AS earlier
    FROM samples
), increases AS (
    SELECT *, CASE WHEN value < earlier THEN value ELSE value - earlier END AS increase
    FROM differences
)`;

const LATEST = `latest AS (
    SELECT DISTINCT ON (series_component, series_labels, bucket) *
    FROM samples
    ORDER BY series_component, series_labels, bucket, timestamp DESC
)`;
