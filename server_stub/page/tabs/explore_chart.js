// One chart of Explore: what it shows, its data, and what stands behind it.

import { findLabels, findNames, readSeries } from "../api/endpoints.js";
import { ChartPanel } from "../charts/chart_panel.js";
import { button, element } from "../elements/element.js";
import { notice } from "../elements/notice.js";
import { seriesParameters, titleOf } from "../state/chart_definition.js";
import { unitShown } from "../charts/units.js";
import { ChartEditor } from "./chart_editor.js";
import { showSource } from "./chart_source.js";

export class ExploreChart {
  /** @param {function(function)} change Replaces the chart in the page's state. */
  constructor(change) {
    this.chart = null;
    this.window = null;
    this.described = null;
    this.answer = null; // until the last request is answered
    this.editor = new ChartEditor((parts) => change((chart) => [{ ...chart, ...parts }]));
    const source = (language) => button(language, () => this.showSource(language));
    this.sources = ["curl", "PromQL", "SQL"].map(source);
    this.remove = button("Remove", () => change(() => []));
    this.copy = button("Duplicate", () => change((chart) => [chart, chart]));
    this.panel = new ChartPanel("", [
      element("span", { class: "help" }, ["Copy as"]),
      ...this.sources,
      this.copy,
      this.remove,
    ]);
    this.panel.root.querySelector("header").after(this.editor.root);
    this.root = this.panel.root;
  }

  focus() {
    this.editor.focus();
  }

  /** Give the focus to Remove, or to the metric where there is nothing to remove. */
  focusRemove() {
    if (this.remove.disabled) this.focus();
    else this.remove.focus();
  }

  async load(chart, chartCount, window, signal) {
    this.chart = chart;
    this.window = window;
    this.remove.disabled = chartCount === 1 && chart.metric === "";
    this.copy.disabled = chart.metric === "";
    for (const each of this.sources) each.disabled = chart.metric === "";
    this.panel.setTitle(chart.metric === "" ? "Choose a metric" : titleOf(chart));
    this.editor.show(chart, this.describedAs(chart.metric));
    if (chart.metric === "") {
      this.panel.clear(notice("empty", "Choose a metric by its name above."));
      return;
    }
    if (this.loadedMetric !== chart.metric) {
      this.panel.clear(notice("loading", "Loading …"));
      this.loadedMetric = chart.metric;
    }
    this.answer = null;
    await Promise.all([this.describe(chart, signal), this.draw(chart, window, signal)]);
  }

  async draw(chart, window, signal) {
    try {
      const answer = await readSeries(seriesParameters(chart, window), { signal });
      if (signal.aborted) return;
      this.answer = answer;
      this.show(chart, window);
    } catch (error) {
      if (!signal.aborted) this.panel.fail(error);
    }
  }

  show(chart, window) {
    const unit = unitShown(this.describedAs(chart.metric)?.unit, chart.aggregation, chart.metric);
    const { series, notes, step_seconds: step } = this.answer;
    this.panel.show(series, { unit, step, window, notes });
  }

  describedAs(metric) {
    return this.described?.metric === metric ? this.described : null;
  }

  /** Ask for the metric's type, help, unit and labels, once for each metric. */
  async describe(chart, signal) {
    if (this.describedAs(chart.metric) !== null) return;
    try {
      const [{ names }, { labels, truncated }] = await Promise.all([
        findNames(familyOf(chart.metric), { signal }),
        findLabels(chart.metric, { signal }),
      ]);
      const family = [chart.metric, familyOf(chart.metric)]
        .map((name) => names.find((each) => each.metric_name === name))
        .find(Boolean);
      this.described = { ...family, metric: chart.metric, labels, truncated };
    } catch {
      return; // The chart's own request says what is wrong.
    }
    if (signal.aborted) return;
    this.editor.show(this.chart, this.described);
    if (this.answer !== null) this.show(chart, this.window);
  }

  showSource(language) {
    showSource(language, this.chart, this.window);
  }

  destroy() {
    this.panel.destroy();
  }
}

/** Return the name that the rows of a histogram or summary have in common. */
function familyOf(metric) {
  return metric.replace(/_(bucket|count|sum)$/, "");
}
