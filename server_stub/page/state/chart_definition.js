// What a chart shows, and its text in the page's URL.

export const AGGREGATIONS = [
  ["rate", "rate (per second)"],
  ["increase", "increase"],
  ["sum", "sum of latest"],
  ["avg", "average"],
  ["min", "minimum"],
  ["max", "maximum"],
  ["last", "last"],
  ["count", "samples"],
  ["quantile", "quantile"],
];

const AGGREGATION_NAMES = new Set(AGGREGATIONS.map(([name]) => name));

// The server takes these as parameters of their own, and all others as labels.
const COMPONENT_FILTERS = new Set(["component_name", "runtime_id"]);

export const COMPONENT_LABELS = ["component_name", "component_type", "runtime_id"];

export const EMPTY_CHART = Object.freeze({
  metric: "",
  aggregation: "avg",
  quantile: 0.95,
  groupBy: [],
  filters: [],
  step: 0, // seconds; 0 goes by the range
});

/** Return the aggregation that has a meaning for a metric of this type. */
export function sensibleAggregation(metricName, metricType) {
  if (metricType === "counter") return "rate";
  if (metricType === "histogram" || metricType === "summary") {
    if (/_(sum|count)$/.test(metricName)) return "rate";
    return metricType === "histogram" ? "quantile" : "avg";
  }
  return "avg";
}

/** Return the text that stands for a chart in the URL. */
export function formatChart(chart) {
  const fields = new URLSearchParams({ metric: chart.metric, show: chart.aggregation });
  if (chart.aggregation === "quantile") fields.set("quantile", chart.quantile);
  for (const name of chart.groupBy) fields.append("by", name);
  for (const { name, value } of chart.filters) fields.append("where", `${name}=${value}`);
  if (chart.step) fields.set("step", chart.step);
  return fields.toString();
}

/** Return the chart that a text stands for; what a person has broken in it is left out. */
export function parseChart(text) {
  const fields = new URLSearchParams(text);
  const aggregation = fields.get("show") ?? "avg";
  const quantile = Number(fields.get("quantile") ?? 0.95);
  const step = Number(fields.get("step") ?? 0);
  return {
    metric: fields.get("metric") ?? "",
    aggregation: AGGREGATION_NAMES.has(aggregation) ? aggregation : "avg",
    quantile: quantile >= 0 && quantile <= 1 ? quantile : 0.95,
    groupBy: [...new Set(fields.getAll("by"))],
    filters: fields
      .getAll("where")
      .filter((filter) => filter.includes("="))
      .map((filter) => {
        const end = filter.indexOf("=");
        return { name: filter.slice(0, end), value: filter.slice(end + 1) };
      }),
    step: step > 0 ? step : 0,
  };
}

/** Return the parameters of GET /api/metrics/series for a chart and a window of time. */
export function seriesParameters(chart, window) {
  const labels = {};
  const parameters = {
    metric_name: chart.metric,
    aggregation: chart.aggregation,
    start_time: new Date(window.start * 1_000).toISOString(),
    end_time: new Date(window.end * 1_000).toISOString(),
    step: chart.step || window.step,
    group_by: chart.groupBy.join(","),
  };
  if (chart.aggregation === "quantile") parameters.quantile = chart.quantile;
  for (const { name, value } of chart.filters) {
    if (COMPONENT_FILTERS.has(name)) parameters[name] = value;
    else labels[name] = value;
  }
  if (Object.keys(labels).length > 0) parameters.labels = JSON.stringify(labels);
  return parameters;
}

/** Return what a chart shows, in words. */
export function titleOf(chart) {
  const shown = chart.aggregation === "quantile" ? `quantile ${chart.quantile}` : chart.aggregation;
  const by = chart.groupBy.length > 0 ? ` by ${chart.groupBy.join(", ")}` : "";
  return `${chart.metric}: ${shown}${by}`;
}
