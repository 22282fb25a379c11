// A panel of a tab that knows what it shows: charts of the API in one picture.

import { readSeries } from "../api/endpoints.js";
import { ChartPanel } from "../charts/chart_panel.js";
import { nameOf } from "../charts/series_table.js";
import { element } from "../elements/element.js";
import { EMPTY_CHART, seriesParameters } from "../state/chart_definition.js";
import { currentState, formatState } from "../state/location.js";

export class QueryPanel {
  /**
   * @param {string} title Its heading.
   * @param {Array<Object>} queries `{chart, name}`: a part of a chart's definition, and what the
   *     series of it are called beside those of the other queries.
   * @param {Object} options `{unit, empty, leavesOutZeros}`: of the values; the words where there
   *     are none; whether a series counts as none if all its values are 0.
   */
  constructor(title, queries, { unit = "", empty = "", leavesOutZeros = false } = {}) {
    this.queries = queries.map(({ chart, name }) => ({
      chart: { ...EMPTY_CHART, ...chart },
      name,
    }));
    this.unit = unit;
    this.empty = empty;
    this.leavesOutZeros = leavesOutZeros;
    this.link = element("a", { class: "help" }, ["Explore"]);
    this.panel = new ChartPanel(title, [this.link]);
    this.root = this.panel.root;
  }

  /** Show what the queries answer; further filters hold for all of them. */
  async load(window, filters, signal) {
    const charts = this.queries.map(({ chart }) => ({
      ...chart,
      filters: [...chart.filters, ...filters],
    }));
    this.link.href = formatState({ ...currentState(), tab: "explore", charts });
    try {
      const answers = await Promise.all(
        charts.map((chart) => readSeries(seriesParameters(chart, window), { signal })),
      );
      if (signal.aborted) return;
      const series = answers
        .flatMap((answer, at) => named(answer.series, this.queries[at].name))
        .filter(({ points }) => !this.leavesOutZeros || points.some(([, value]) => value !== 0));
      const notes = series.length === 0 && this.empty ? [this.empty] : [];
      this.panel.show(series, {
        unit: this.unit,
        step: answers[0].step_seconds,
        window,
        notes,
      });
    } catch (error) {
      if (!signal.aborted) this.panel.fail(error);
    }
  }

  destroy() {
    this.panel.destroy();
  }
}

function named(series, name) {
  if (!name) return series;
  return series.map((each) => {
    const own = Object.keys(each.labels).length > 0 ? `${nameOf(each)} ` : "";
    return { ...each, name: `${own}${name}` };
  });
}
