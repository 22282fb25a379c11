// Explore: any metrics, in charts under each other; the page's URL says which.

import { button, element } from "../elements/element.js";
import { EMPTY_CHART, formatChart } from "../state/chart_definition.js";
import { changeState, currentState } from "../state/location.js";
import { ExploreChart } from "./explore_chart.js";

const CHARTS_MAX = 20;

export class Explore {
  constructor() {
    this.charts = [];
    this.list = element("div", { class: "stack" });
    this.add = button("Add a chart", () => {
      changeState({ charts: [...shownCharts(currentState()), EMPTY_CHART] });
      this.charts.at(-1).focus();
    });
    this.root = element("div", {}, [
      element("h2", { class: "unseen" }, ["Explore"]),
      this.list,
      element("div", { class: "actions" }, [this.add]),
    ]);
  }

  /** Show the charts of a state; return when their data is there. */
  async load(state, window, signal) {
    const shown = shownCharts(state);
    while (this.charts.length > shown.length) this.drop(this.firstOther(shown));
    while (this.charts.length < shown.length) this.insert(this.firstOther(shown));
    this.add.disabled = shown.length >= CHARTS_MAX;
    await Promise.all(
      this.charts.map((chart, place) => chart.load(shown[place], shown.length, window, signal)),
    );
  }

  /** Return the place of the first chart that is another one than is to be shown there. */
  firstOther(shown) {
    const isOther = ({ chart }, place) =>
      chart === null || !shown[place] || formatChart(chart) !== formatChart(shown[place]);
    const found = this.charts.findIndex(isOther);
    return found === -1 ? this.charts.length : found;
  }

  insert(place) {
    const chart = new ExploreChart((change) => this.change(chart, change));
    this.list.insertBefore(chart.root, this.charts[place]?.root ?? null);
    this.charts.splice(place, 0, chart);
  }

  /** Put another chart, none, or a copy of it, in a chart's place; the others stay as they are. */
  change(chart, replace) {
    const place = this.charts.indexOf(chart);
    const charts = [...shownCharts(currentState())];
    const changed = replace(charts[place]);
    charts.splice(place, 1, ...changed);
    if (changed.length > 1) this.insert(place + 1);
    if (changed.length === 0) this.drop(place);
    changeState({ charts });
    if (changed.length === 0) (this.charts[place] ?? this.charts.at(-1)).focusRemove();
  }

  drop(place) {
    const [chart] = this.charts.splice(place, 1);
    chart.destroy();
    chart.root.remove();
  }

  destroy() {
    while (this.charts.length > 0) this.drop(0);
  }
}

function shownCharts({ charts }) {
  return charts.length > 0 ? charts.slice(0, CHARTS_MAX) : [EMPTY_CHART];
}
