// The table of job types: how many ended how, how long they took, how many run now.

import { readSeries } from "../api/endpoints.js";
import { quantileOf } from "../charts/histogram.js";
import { formatNumber } from "../charts/numbers.js";
import { DataTable } from "../elements/data_table.js";
import { element } from "../elements/element.js";
import { errorNotice, notice } from "../elements/notice.js";
import { titled } from "../elements/titled.js";
import { EMPTY_CHART, seriesParameters } from "../state/chart_definition.js";

// Increases add up, so few buckets are enough; the range is widened to whole ones of them.
const BUCKETS = 20;

const count = (value) => formatNumber(value);
const seconds = (value) => formatNumber(value, "seconds");
const COLUMNS = [
  { label: "job type", value: (row) => row.jobType },
  { label: "ended", value: (row) => row.ended, show: (row) => count(row.ended), isNumber: true },
  {
    label: "completed",
    value: (row) => row.completed,
    show: (row) => count(row.completed),
    isNumber: true,
  },
  { label: "failed", value: (row) => row.failed, show: (row) => count(row.failed), isNumber: true },
  {
    label: "cancelled",
    value: (row) => row.cancelled,
    show: (row) => count(row.cancelled),
    isNumber: true,
  },
  {
    label: "unknown",
    value: (row) => row.unknown,
    show: (row) => count(row.unknown),
    isNumber: true,
  },
  {
    label: "failed %",
    value: (row) => row.failedPercent,
    show: (row) => formatNumber(row.failedPercent, "percent"),
    isNumber: true,
  },
  { label: "p50", value: (row) => row.p50, show: (row) => seconds(row.p50), isNumber: true },
  { label: "p95", value: (row) => row.p95, show: (row) => seconds(row.p95), isNumber: true },
  { label: "p99", value: (row) => row.p99, show: (row) => seconds(row.p99), isNumber: true },
  {
    label: "in progress",
    value: (row) => row.running,
    show: (row) => count(row.running),
    isNumber: true,
  },
];
const SLOWEST = COLUMNS.findIndex(({ label }) => label === "p99");

export class JobTypes {
  constructor() {
    this.table = new DataTable("Job types", COLUMNS, {
      sortBy: SLOWEST,
      isDescending: true,
      keyOf: (row) => row.jobType,
      empty: "No job has ended in this range: track_job counts them.",
    });
    this.said = element("div", { class: "said" }, [notice("loading", "Loading …")]);
    this.root = titled("Job types, slowest first", this.said, this.table.root);
  }

  async load(window, filters, signal) {
    const step = Math.max(1, Math.ceil((window.end - window.start) / BUCKETS));
    const ask = (metric, aggregation, ...groupBy) => {
      const chart = { ...EMPTY_CHART, metric, aggregation, groupBy, filters, step };
      return readSeries(seriesParameters(chart, window), { signal });
    };
    try {
      const [processed, buckets, running] = await Promise.all([
        ask("noetl_jobs_processed_total", "increase", "job_type", "status"),
        ask("noetl_job_duration_seconds_bucket", "increase", "job_type", "le"),
        ask("noetl_jobs_in_progress", "sum", "job_type"),
      ]);
      if (signal.aborted) return;
      this.said.replaceChildren();
      this.table.show(
        rowsOf(processed.series, buckets.series, running.series, window.end - 2 * step),
      );
    } catch (error) {
      if (!signal.aborted) this.said.replaceChildren(errorNotice(error, null));
    }
  }
}

function total({ points }) {
  return points.reduce((sum, [, value]) => sum + (typeof value === "number" ? value : 0), 0);
}

function rowsOf(processed, buckets, running, since) {
  const rows = new Map();
  const rowOf = ({ labels }) => {
    const jobType = labels.job_type ?? "";
    if (!rows.has(jobType)) {
      rows.set(jobType, {
        jobType,
        completed: 0,
        failed: 0,
        cancelled: 0,
        unknown: 0,
        running: null,
        counts: new Map(),
      });
    }
    return rows.get(jobType);
  };
  for (const series of processed) rowOf(series)[series.labels.status] = total(series);
  for (const series of buckets) rowOf(series).counts.set(series.labels.le, total(series));
  for (const series of running) {
    // A sum ends with the samples that it is made of: an older one says nothing about now.
    const [time, value] = series.points.at(-1);
    rowOf(series).running = time > since ? value : null;
  }
  return [...rows.values()].map((row) => {
    const ended = row.completed + row.failed + row.cancelled + row.unknown;
    return {
      ...row,
      ended,
      failedPercent: ended > 0 ? (100 * row.failed) / ended : null,
      p50: quantileOf(0.5, row.counts),
      p95: quantileOf(0.95, row.counts),
      p99: quantileOf(0.99, row.counts),
    };
  });
}
