// Storage: what is stored, when it goes, what comes in, and the alarms.

import { readExport, readPartitions } from "../api/endpoints.js";
import { formatDuration, formatNumber } from "../charts/numbers.js";
import { DataTable } from "../elements/data_table.js";
import { element } from "../elements/element.js";
import { errorNotice, notice } from "../elements/notice.js";
import { stateMark } from "../elements/state_mark.js";
import { titled } from "../elements/titled.js";
import { evaluateAlarms } from "./alarms.js";
import { QueryPanel } from "./query_panel.js";
import { exportFacts, partitionFacts } from "./storage_facts.js";

const LOOKS = {
  alarm: ["bad", "alarm"],
  unknown: ["warn", "unknown"],
  fine: ["good", "fine"],
  elsewhere: ["quiet", "see the log"],
};
const STATES = Object.keys(LOOKS);
const ALARM_COLUMNS = [
  {
    label: "state",
    value: (row) => STATES.indexOf(row.state),
    show: (row) => stateMark(...LOOKS[row.state]),
  },
  { label: "alarm when", value: (row) => row.when, show: (row) => wrapped(row.when) },
  { label: "now", value: (row) => row.words, show: (row) => wrapped(row.words) },
  { label: "because", value: (row) => row.because, show: (row) => wrapped(row.because) },
];

const day = (text) => text?.slice(0, 10);

/** Return when a partition is dropped: later for the metrics that are kept longer. */
function goes({ drops_at: first, drops_at_latest: latest }) {
  if (!first) return "never";
  const seconds = (new Date(first) - Date.now()) / 1_000;
  const words = seconds > 0 ? `in ${formatDuration(seconds)}` : "at the next maintenance";
  if (!latest || latest === first) return words;
  return `${words}; all of it in ${formatDuration((new Date(latest) - Date.now()) / 1_000)}`;
}

const PARTITION_COLUMNS = [
  { label: "partition", value: (row) => row.name },
  { label: "from", value: (row) => row.from, show: (row) => day(row.from) },
  {
    label: "rows, about",
    value: (row) => row.rows_estimated,
    show: (row) => formatNumber(row.rows_estimated),
    isNumber: true,
  },
  {
    label: "size",
    value: (row) => row.bytes,
    show: (row) => formatNumber(row.bytes, "bytes"),
    isNumber: true,
  },
  { label: "goes", value: (row) => row.drops_at, show: goes },
];
const RETENTION_COLUMNS = [
  { label: "metrics", value: (row) => row.name },
  { label: "kept for", value: (row) => row.seconds, show: (row) => formatDuration(row.seconds) },
];

function wrapped(text) {
  return element("span", { class: "breaks" }, [text]);
}

const one = (metric, aggregation, ...groupBy) => ({ chart: { metric, aggregation, groupBy } });

function panels() {
  return [
    new QueryPanel("Samples inserted per second", [
      one("noetl_api_samples_inserted_total", "rate"),
    ]),
    new QueryPanel(
      "Samples rejected per second, by reason",
      [one("noetl_api_samples_rejected_total", "rate", "reason")],
      { empty: "No sample was rejected in this range.", leavesOutZeros: true },
    ),
    new QueryPanel(
      "Samples dropped by workers, by reason",
      [one("noetl_metrics_sdk_samples_dropped_total", "increase", "reason")],
      { empty: "No worker has dropped a sample in this range.", leavesOutZeros: true },
    ),
    new QueryPanel("Requests per second, by status", [
      one("noetl_api_requests_total", "rate", "status"),
    ]),
    new QueryPanel("Connections to the database", [
      { ...one("noetl_api_database_connections_in_use", "sum", "purpose"), name: "in use" },
      { ...one("noetl_api_database_connections_open", "sum"), name: "open" },
      { ...one("noetl_api_database_connections_max", "sum", "purpose"), name: "at most" },
    ]),
    new QueryPanel("Connections of clients", [
      { ...one("noetl_api_http_connections", "sum"), name: "open" },
      { ...one("noetl_api_http_connections_max", "max"), name: "at most" },
    ]),
    new QueryPanel("Requests that wait for a connection to the database", [
      one("noetl_api_database_requests_waiting", "max", "worker_id"),
    ]),
    new QueryPanel(
      "Duration of requests, p95 by route",
      [
        {
          chart: {
            metric: "noetl_api_request_duration_seconds",
            aggregation: "quantile",
            groupBy: ["endpoint"],
          },
        },
      ],
      { unit: "seconds" },
    ),
    new QueryPanel(
      "Bytes of batches in memory",
      [one("noetl_api_ingest_bytes", "max", "worker_id")],
      { unit: "bytes" },
    ),
  ];
}

export class Storage {
  constructor() {
    this.partitions = new DataTable("Partitions", PARTITION_COLUMNS, {
      keyOf: (row) => row.name,
      empty: "There are no partitions.",
    });
    this.retentions = new DataTable("Retention", RETENTION_COLUMNS, { keyOf: (row) => row.name });
    this.alarms = new DataTable("Alarms", ALARM_COLUMNS, {
      keyOf: (row) => row.when,
      empty: "Loading …",
    });
    this.alarmsSaid = element("div", { class: "said" });
    this.exported = element("dl");
    this.stored = element("dl");
    this.panels = panels();
    this.said = element("div", { class: "said" }, [notice("loading", "Loading …")]);
    this.root = element("div", { class: "stack" }, [
      element("h2", { class: "unseen" }, ["Storage"]),
      this.said,
      titled("Alarms", this.alarmsSaid, this.alarms.root),
      element("div", { class: "grid" }, [
        titled("Partitions", this.stored, this.partitions.root),
        element("div", { class: "stack start" }, [
          titled("Retention", this.retentions.root),
          titled("Export", this.exported),
        ]),
        ...this.panels.map((panel) => panel.root),
      ]),
    ]);
  }

  async load(state, window, signal) {
    await Promise.all([
      this.facts(signal),
      this.evaluate(signal),
      ...this.panels.map((panel) => panel.load(window, [], signal)),
    ]);
  }

  async facts(signal) {
    try {
      const [stored, exported] = await Promise.all([
        readPartitions({ signal }),
        readExport({ signal }),
      ]);
      if (signal.aborted) return;
      this.partitions.show(stored.partitions);
      this.stored.replaceChildren(...partitionFacts(stored));
      this.exported.replaceChildren(...exportFacts(exported));
      this.retentions.show([
        { name: "all others", seconds: stored.retention_seconds },
        ...Object.entries(stored.retentions).map(([name, seconds]) => ({ name, seconds })),
      ]);
      this.loadedAt = new Date();
      this.said.replaceChildren();
    } catch (error) {
      if (!signal.aborted) this.said.replaceChildren(errorNotice(error, this.loadedAt));
    }
  }

  async evaluate(signal) {
    try {
      const alarms = await evaluateAlarms(signal);
      if (signal.aborted) return;
      this.alarms.show(alarms);
      this.evaluatedAt = new Date();
      this.alarmsSaid.replaceChildren();
    } catch (error) {
      if (!signal.aborted) this.alarmsSaid.replaceChildren(errorNotice(error, this.evaluatedAt));
    }
  }

  destroy() {
    this.panels.forEach((panel) => panel.destroy());
  }
}
