// What each process says of itself: CPU, memory, samples that wait, samples that were dropped.

import { readSeries } from "../api/endpoints.js";
import { EMPTY_CHART, seriesParameters } from "../state/chart_definition.js";

const LAST = {
  cpuPercent: "process_cpu_usage_percent",
  memoryBytes: "process_resident_memory_bytes",
  pending: "noetl_metrics_sdk_samples_pending",
};
const DROPPED = "noetl_metrics_sdk_samples_dropped_total";
const BUCKETS = 12;

/** Return the key of a process among those of all components. */
export function processKey(runtimeId, workerId) {
  return `${runtimeId}\n${workerId}`;
}

/** Return, by `processKey`, `{cpuPercent, memoryBytes, pending, dropped}` in a window of time. */
export async function readWorkerMetrics(window, signal) {
  const step = Math.max(1, Math.ceil((window.end - window.start) / BUCKETS));
  const groupBy = ["runtime_id", "worker_id"];
  const ask = (metric, aggregation) => {
    const chart = { ...EMPTY_CHART, metric, aggregation, groupBy, step };
    return readSeries(seriesParameters(chart, window), { signal });
  };
  const names = Object.keys(LAST);
  const answers = await Promise.all([
    ...names.map((name) => ask(LAST[name], "last")),
    ask(DROPPED, "increase"),
  ]);
  const found = new Map();
  const at = ({ labels }) => {
    const key = processKey(labels.runtime_id, labels.worker_id);
    if (!found.has(key)) found.set(key, {});
    return found.get(key);
  };
  names.forEach((name, place) => {
    for (const series of answers[place].series) at(series)[name] = series.points.at(-1)[1];
  });
  for (const series of answers.at(-1).series) {
    at(series).dropped = series.points.reduce(
      (sum, [, value]) => sum + (typeof value === "number" ? value : 0),
      0,
    );
  }
  return found;
}
