// Jobs: what track_job measures, by type and status, without setting anything up.

import { findLabelValues } from "../api/endpoints.js";
import { choice, element, labelled, options } from "../elements/element.js";
import { changeState } from "../state/location.js";
import { JobTypes } from "./job_types.js";
import { QueryPanel } from "./query_panel.js";

const PROCESSED = "noetl_jobs_processed_total";
const DURATION = "noetl_job_duration_seconds";
const EMPTY = "No job has ended in this range.";

const quantile = (value) => ({
  chart: { metric: DURATION, aggregation: "quantile", quantile: value },
  name: `p${100 * value}`,
});
const rateBy = (...groupBy) => [{ chart: { metric: PROCESSED, aggregation: "rate", groupBy } }];

function panels() {
  return [
    new QueryPanel("Jobs per second, by status", rateBy("status"), { empty: EMPTY }),
    new QueryPanel("Jobs per second, by type", rateBy("job_type"), { empty: EMPTY }),
    new QueryPanel(
      "Failures per second, by exception",
      [
        {
          chart: {
            metric: PROCESSED,
            aggregation: "rate",
            groupBy: ["exception", "job_type"],
            filters: [{ name: "status", value: "failed" }],
          },
        },
      ],
      { empty: "No job has failed in this range." },
    ),
    new QueryPanel("Duration: p50, p95, p99", [quantile(0.5), quantile(0.95), quantile(0.99)], {
      unit: "seconds",
      empty: EMPTY,
    }),
    new QueryPanel(
      "In progress, by type",
      [{ chart: { metric: "noetl_jobs_in_progress", aggregation: "sum", groupBy: ["job_type"] } }],
      { empty: "No job has begun in this range." },
    ),
    new QueryPanel(
      "Duration, p95 by type",
      [
        {
          chart: {
            metric: DURATION,
            aggregation: "quantile",
            quantile: 0.95,
            groupBy: ["job_type"],
          },
        },
      ],
      { unit: "seconds", empty: EMPTY },
    ),
  ];
}

export class Jobs {
  constructor() {
    this.panels = panels();
    this.types = new JobTypes();
    this.component = choice([], "", (component) => changeState({ component }));
    this.jobType = choice([], "", (jobType) => changeState({ jobType }));
    this.components = [];
    this.jobTypes = [];
    this.root = element("div", { class: "stack" }, [
      element("h2", { class: "unseen" }, ["Jobs"]),
      element("div", { class: "chosen" }, [
        labelled("Component", this.component),
        labelled("Job type", this.jobType),
      ]),
      this.types.root,
      element(
        "div",
        { class: "grid" },
        this.panels.map((panel) => panel.root),
      ),
    ]);
  }

  async load(state, window, signal) {
    const filters = [
      { name: "component_name", value: state.component },
      { name: "job_type", value: state.jobType },
    ].filter(({ value }) => value !== "");
    this.offer(state);
    await Promise.all([
      this.find(state, signal),
      this.types.load(window, filters, signal),
      ...this.panels.map((panel) => panel.load(window, filters, signal)),
    ]);
  }

  /** Find the components and the job types that there are. */
  async find(state, signal) {
    try {
      const [components, jobTypes] = await Promise.all([
        findLabelValues(PROCESSED, "component_name", "", { signal }),
        findLabelValues(PROCESSED, "job_type", "", { signal }),
      ]);
      if (signal.aborted) return;
      this.components = components.values;
      this.jobTypes = jobTypes.values;
      this.offer(state);
    } catch {
      // The panels say what is wrong.
    }
  }

  offer(state) {
    offer(this.component, this.components, state.component);
    offer(this.jobType, this.jobTypes, state.jobType);
  }

  destroy() {
    this.panels.forEach((panel) => panel.destroy());
  }
}

/** Have a choice offer all values, and show the chosen one. It keeps the focus. */
function offer(select, values, chosen) {
  const all = chosen === "" || values.includes(chosen) ? values : [...values, chosen];
  const pairs = [["", "all"], ...all.map((value) => [value, value])];
  const isOffered = ([value], place) => select.options[place]?.value === value;
  // It may be open: if it offers them already, nothing changes.
  if (select.options.length !== pairs.length || !pairs.every(isOffered)) {
    select.replaceChildren(...options(pairs, chosen));
  }
  select.value = chosen;
}
