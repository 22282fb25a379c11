// The controls of a chart: its metric, what to show of it, by which labels, filters, step.

import { findLabelValues, findNames } from "../api/endpoints.js";
import { combobox } from "../elements/combobox.js";
import { button, choice, cut, element, labelled, newId } from "../elements/element.js";
import { keepFocus } from "../elements/kept_focus.js";
import { AGGREGATIONS, COMPONENT_LABELS, sensibleAggregation } from "../state/chart_definition.js";

const STEPS = [
  [0, "automatic"],
  [1, "1 s"],
  [5, "5 s"],
  [10, "10 s"],
  [15, "15 s"],
  [30, "30 s"],
  [60, "1 min"],
  [300, "5 min"],
  [900, "15 min"],
  [3_600, "1 h"],
  [21_600, "6 h"],
  [86_400, "1 day"],
];
const FILTERS_MAX = 16;

export class ChartEditor {
  /** @param {function(Object)} change Gets the parts of the chart that the user has changed. */
  constructor(change) {
    this.change = change;
    this.chart = null;
    this.metric = combobox({
      label: "Metric",
      value: "",
      placeholder: "Type a part of its name",
      find: suggestNames,
      onchoose: (item) => this.chooseMetric(item),
    });
    this.input = this.metric.querySelector("input");
    // What was typed and not chosen is not what the chart shows.
    this.input.addEventListener("blur", () => {
      // The user may look at another window.
      if (document.activeElement !== this.input) this.input.value = this.chart.metric;
    });
    this.help = element("p", { class: "help" });
    this.aggregation = choice(AGGREGATIONS, "avg", (aggregation) => change({ aggregation }));
    this.quantile = element("input", {
      type: "number",
      min: "0",
      max: "1",
      step: "0.01",
      onchange: () => change({ quantile: Math.min(1, Math.max(0, Number(this.quantile.value))) }),
    });
    this.quantileField = labelled("Quantile", this.quantile);
    this.step = choice(STEPS, 0, (step) => change({ step: Number(step) }));
    const byId = newId("by");
    const chips = { class: "chips", role: "group", tabindex: "-1", "aria-labelledby": byId };
    this.chips = element("div", chips);
    this.filters = element("div", { class: "filters" });
    this.root = element("div", { class: "editor" }, [
      labelled("Metric", this.metric),
      labelled("Show", this.aggregation),
      this.quantileField,
      labelled("Step", this.step),
      this.help,
      element("div", { class: "field wide" }, [element("span", { id: byId }, ["By"]), this.chips]),
      element("div", { class: "field wide" }, [element("span", {}, ["Where"]), this.filters]),
    ]);
  }

  focus() {
    this.input.focus();
  }

  chooseMetric({ value, family }) {
    if (value === this.chart.metric) return;
    const aggregation = sensibleAggregation(value, family?.metric_type);
    this.change({ metric: value, aggregation, groupBy: [], filters: [] });
  }

  /** Show a chart; `described` has its metric's type, help, unit and labels, or is null. */
  show(chart, described) {
    const before = this.chart;
    this.chart = chart;
    // What a user types stays, unless the chart has become another one.
    const isTyped = (field, name) =>
      document.activeElement === field && before?.[name] === chart[name];
    if (!isTyped(this.input, "metric")) this.input.value = chart.metric;
    this.aggregation.value = chart.aggregation;
    if (!isTyped(this.quantile, "quantile")) this.quantile.value = chart.quantile;
    this.quantileField.hidden = chart.aggregation !== "quantile";
    this.showStep(chart.step);
    this.help.textContent = described ? wordsOf(described) : "";
    this.help.hidden = !described;
    const labels = described?.labels ?? [];
    this.showChips(chart, labels);
    if (
      JSON.stringify(before?.filters) !== JSON.stringify(chart.filters) ||
      this.of !== described
    ) {
      this.showFilters(chart, labels);
    }
    this.of = described;
  }

  showStep(step) {
    if (
      !STEPS.some(([seconds]) => seconds === step) &&
      !this.step.querySelector(`[value="${step}"]`)
    ) {
      this.step.append(element("option", { value: step }, [`${step} s`]));
    }
    this.step.value = String(step);
  }

  showChips(chart, labels) {
    const offered = [
      ...labels.filter(({ name }) => chart.aggregation !== "quantile" || name !== "le"),
      ...COMPONENT_LABELS.filter((name) => !labels.some((label) => label.name === name)).map(
        (name) => ({ name }),
      ),
    ];
    for (const name of chart.groupBy) {
      if (!offered.some((label) => label.name === name)) offered.push({ name });
    }
    const text = JSON.stringify(offered.map(({ name, value_count }) => [name, value_count]));
    if (text !== this.offered) {
      this.offered = text;
      keepFocus(this.chips, () => {
        this.chips.replaceChildren(...offered.map((label) => this.chip(label)));
      });
    }
    for (const chip of this.chips.children) {
      chip.setAttribute("aria-pressed", String(chart.groupBy.includes(chip.dataset.focus)));
    }
  }

  chip({ name, value_count: count }) {
    const words = count === undefined ? [] : [element("span", { class: "hint" }, [String(count)])];
    const made = element("button", { type: "button", class: "chip", title: name }, [
      cut(name),
      ...words,
    ]);
    made.dataset.focus = name;
    made.addEventListener("click", () => {
      const { groupBy } = this.chart;
      const has = groupBy.includes(name);
      this.change({ groupBy: has ? groupBy.filter((each) => each !== name) : [...groupBy, name] });
    });
    return made;
  }

  showFilters(chart, labels) {
    const rows = chart.filters.map((filter, place) => this.filter(filter, place));
    const names = labels
      .map(({ name }) => name)
      // The server has no filter of it.
      .filter((name) => name !== "component_type")
      .filter((name) => !chart.filters.some((filter) => filter.name === name));
    const pairs = [["", "add a filter …"], ...names.map((name) => [name, name])];
    const add = choice(pairs, "", (name) => add.replaceWith(this.newFilter(name, add)), {
      "aria-label": "Filter by a label",
      "data-focus": "add",
      disabled: chart.metric === "" || chart.filters.length >= FILTERS_MAX,
    });
    const next = rows.length > 0 && add.disabled ? rows.at(-1).querySelector("button") : add;
    keepFocus(this.filters, () => this.filters.replaceChildren(...rows, add), next);
  }

  filter({ name, value }, place) {
    const { filters } = this.chart;
    const remove = button("×", () => this.change({ filters: filters.toSpliced(place, 1) }), {
      "aria-label": `Remove the filter ${name}`,
      "data-focus": `filter ${name}`,
      class: "small",
    });
    return element("span", { class: "filter" }, [cut(`${name} = ${value || "(none)"}`), remove]);
  }

  /**
   * Return the field for a filter's value. The choice of a label comes back when the user leaves
   * the field empty, or presses Escape.
   */
  newFilter(name, add) {
    const { metric, filters } = this.chart;
    const box = combobox({
      label: `Value of ${name}`,
      value: "",
      placeholder: `value of ${name}`,
      find: (search, signal) => suggestValues(metric, name, search, signal),
      onchoose: ({ value }) => this.change({ filters: [...filters, { name, value }] }),
    });
    const input = box.querySelector("input");
    const giveUp = () => {
      if (!box.isConnected) return;
      add.value = "";
      box.replaceWith(add);
    };
    input.addEventListener("blur", () => {
      const isLeft = document.activeElement !== input;
      if (isLeft && input.value === "") requestAnimationFrame(giveUp);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      giveUp();
      add.focus();
    });
    requestAnimationFrame(() => input.focus());
    return box;
  }
}

async function suggestNames(search, signal) {
  const { names, truncated } = await findNames(search, { signal });
  return { items: names.flatMap(itemsOf), truncated };
}

/** Return the suggestions for a family: a histogram or summary has rows of several names. */
function itemsOf(family) {
  const { metric_name: name, metric_type: type, unit, help_text: help } = family;
  const own = {
    value: name,
    detail: [type, unit].filter(Boolean).join(", "),
    hint: help ?? "",
    family,
  };
  if (type !== "histogram" && type !== "summary") return [own];
  return [
    own,
    { value: `${name}_count`, detail: "counter", hint: "how many observations", family },
    {
      value: `${name}_sum`,
      detail: ["counter", unit].filter(Boolean).join(", "),
      hint: "their sum",
      family,
    },
  ];
}

async function suggestValues(metric, label, search, signal) {
  const { values, truncated } = await findLabelValues(metric, label, search, { signal });
  return { items: values.map((value) => ({ value })), truncated };
}

function wordsOf({ metric_type: type, unit, help_text: help, truncated }) {
  // The server looks at some of the samples where there are very many.
  const rest = truncated ? "There may be more labels than are offered." : "";
  return [[type, unit].filter(Boolean).join(", "), help, rest].filter(Boolean).join(" · ");
}
