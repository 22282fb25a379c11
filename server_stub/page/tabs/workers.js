// Workers: the components, the processes behind them, and how each of them is.

import { listComponents } from "../api/endpoints.js";
import { formatDuration, formatMoment, formatNumber } from "../charts/numbers.js";
import { DataTable } from "../elements/data_table.js";
import { button, cut, element, labelled } from "../elements/element.js";
import { errorNotice, notice } from "../elements/notice.js";
import { stateMark } from "../elements/state_mark.js";
import { titled } from "../elements/titled.js";
import { changeState } from "../state/location.js";
import { askToDelete } from "./deletion.js";
import { QueryPanel } from "./query_panel.js";
import { processKey, readWorkerMetrics } from "./worker_metrics.js";

const TYPING_MILLISECONDS = 200;
const STATES = ["running", "lost", "ended"];
const LOOKS = { running: "good", ended: "quiet", lost: "bad" };

function ago(text) {
  return text ? `${formatDuration((Date.now() - new Date(text)) / 1_000)} ago` : null;
}

function moment(text) {
  return text ? formatMoment(new Date(text)) : null;
}

function componentColumns(ondelete) {
  const counted = (state) => ({
    label: state,
    isNumber: true,
    value: (row) => row.process_counts[state],
  });
  return [
    { label: "component", value: (row) => row.name, show: (row) => cut(row.name) },
    { label: "type", value: (row) => row.component_type },
    {
      label: "state",
      value: (row) => (row.alive ? "alive" : row.status),
      show: (row) =>
        row.alive
          ? stateMark("good", "alive")
          : stateMark(row.status === "offline" ? "bad" : "warn", row.status),
    },
    ...["running", "ended", "lost"].map(counted),
    {
      label: "last heartbeat",
      value: (row) => row.last_heartbeat,
      show: (row) => ago(row.last_heartbeat),
    },
    { label: "runtime_id", value: (row) => row.runtime_id },
    {
      label: "",
      value: () => null,
      show: (row) =>
        button("Delete …", () => ondelete(row), {
          class: "small",
          "aria-label": `Delete ${row.name} …`,
        }),
    },
  ];
}

const shown = (name, unit) => ({
  value: (row) => row[name],
  show: (row) => formatNumber(row[name], unit),
  isNumber: true,
});
const PROCESS_COLUMNS = [
  { label: "worker", value: (row) => row.worker_id, show: (row) => cut(row.worker_id) },
  { label: "component", value: (row) => row.component },
  {
    label: "state",
    value: (row) => STATES.indexOf(row.state),
    show: (row) => stateMark(LOOKS[row.state], row.state),
  },
  { label: "last heard", value: (row) => row.last_heard_at, show: (row) => ago(row.last_heard_at) },
  { label: "started", value: (row) => row.started_at, show: (row) => moment(row.started_at) },
  { label: "CPU", ...shown("cpuPercent", "percent") },
  { label: "memory", ...shown("memoryBytes", "bytes") },
  { label: "pending", ...shown("pending", "") },
  { label: "dropped", ...shown("dropped", "") },
  { label: "host", value: (row) => row.hostname },
  { label: "pid", value: (row) => row.pid, isNumber: true },
  { label: "SDK", value: (row) => row.sdk_version },
];
const STATE = 2;

const byWorker = (metric, aggregation, ...labels) => [
  { chart: { metric, aggregation, groupBy: [...labels, "worker_id"] } },
];

function panels() {
  return [
    new QueryPanel("CPU by worker", byWorker("process_cpu_usage_percent", "avg"), {
      unit: "percent",
    }),
    new QueryPanel("Memory by worker", byWorker("process_resident_memory_bytes", "avg"), {
      unit: "bytes",
    }),
    new QueryPanel(
      "Samples dropped, by reason",
      byWorker("noetl_metrics_sdk_samples_dropped_total", "increase", "reason"),
      { empty: "No worker has dropped a sample in this range." },
    ),
    new QueryPanel(
      "Samples pending, by worker",
      byWorker("noetl_metrics_sdk_samples_pending", "max"),
    ),
  ];
}

export class Workers {
  constructor() {
    this.search = element("input", {
      type: "search",
      placeholder: "a part of a name",
      dir: "auto",
    });
    let timer = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        changeState({ search: this.search.value }, { replaces: true });
      }, TYPING_MILLISECONDS);
    });
    this.components = new DataTable(
      "Components",
      componentColumns((row) => this.delete(row)),
      {
        keyOf: (row) => row.runtime_id,
        empty: "No component has registered.",
      },
    );
    this.processes = new DataTable("Processes", PROCESS_COLUMNS, {
      sortBy: STATE,
      keyOf: (row) => row.key,
      empty: "No process has registered.",
    });
    this.panels = panels();
    this.said = element("div", { class: "said" }, [notice("loading", "Loading …")]);
    this.root = element("div", { class: "stack" }, [
      element("h2", { class: "unseen" }, ["Workers"]),
      element("div", { class: "chosen" }, [labelled("Find", this.search)]),
      this.said,
      titled("Components", this.components.root),
      titled("Processes", this.processes.root),
      element(
        "div",
        { class: "grid" },
        this.panels.map((panel) => panel.root),
      ),
    ]);
  }

  async load(state, window, signal) {
    // What a user types stays, unless the state has become another one.
    const isTyped = document.activeElement === this.search && this.searched === state.search;
    if (!isTyped) this.search.value = state.search;
    this.searched = state.search;
    await Promise.all([
      this.list(state, window, signal),
      ...this.panels.map((panel) => panel.load(window, [], signal)),
    ]);
  }

  async list(state, window, signal) {
    try {
      const [components, metrics] = await Promise.all([
        listComponents({ signal }),
        readWorkerMetrics(window, signal),
      ]);
      if (signal.aborted) return;
      this.loadedAt = new Date();
      this.said.replaceChildren(...omitted(components));
      const text = state.search.toLowerCase();
      const has = (...texts) => texts.some((each) => each?.toLowerCase().includes(text));
      this.components.show(
        components.filter((each) =>
          has(each.name, each.runtime_id, ...each.processes.map(({ worker_id: id }) => id)),
        ),
      );
      const processes = components.flatMap((component) =>
        component.processes.map((process) => {
          const key = processKey(component.runtime_id, process.worker_id);
          return { ...process, ...metrics.get(key), key, component: component.name };
        }),
      );
      this.processes.show(
        processes.filter((each) => has(each.worker_id, each.component, each.hostname)),
      );
    } catch (error) {
      if (!signal.aborted) this.said.replaceChildren(errorNotice(error, this.loadedAt));
    }
  }

  delete(component) {
    // What is gone is gone from the next list.
    askToDelete(component, () => dispatchEvent(new HashChangeEvent("hashchange")));
  }

  destroy() {
    this.panels.forEach((panel) => panel.destroy());
  }
}

/** Return a notice if the server has left processes out of its answer. */
function omitted(components) {
  const hidden = components.reduce((sum, { process_counts: counts, processes }) => {
    return sum + counts.running + counts.ended + counts.lost - processes.length;
  }, 0);
  if (hidden <= 0) return [];
  const words = `${hidden} more processes are on record: the list has a hundred of each component at `;
  return [notice("note", `${words}most, those that run first.`)];
}
