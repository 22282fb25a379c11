// A panel: a heading, a chart, the table beside it, and what there is to say of both.

import { element, newId } from "../elements/element.js";
import { errorNotice, notice } from "../elements/notice.js";
import { changeState } from "../state/location.js";
import { onThemeChange } from "../state/theme.js";
import { seriesColour } from "./colours.js";
import { summaryOf, toColumns } from "./columns.js";
import { SeriesTable, nameOf } from "./series_table.js";
import { TimeChart } from "./time_chart.js";

// More lines than this are no picture any more, and the table has the others.
const LINES_MAX = 1_000;

export class ChartPanel {
  /**
   * @param {string} title Its heading.
   * @param {Array<Node>} tools What stands beside the heading.
   */
  constructor(title, tools = []) {
    const headingId = newId("panel");
    this.heading = element("h3", { id: headingId, dir: "auto" }, [title]);
    this.said = element("div", { class: "said" });
    this.chart = new TimeChart({
      label: title,
      onselect: (start, end) => changeState({ range: { start, end } }),
      onread: (place) => this.read(place),
    });
    this.table = new SeriesTable({
      onswitch: (index, isShown) => this.switch([index], isShown),
      ononly: (index) => this.showOnly(index),
    });
    this.drawing = element("div", { class: "drawing", hidden: true }, [
      this.chart.root,
      this.table.root,
    ]);
    const top = element("header", {}, [this.heading, ...tools]);
    this.root = element("section", { class: "panel", "aria-labelledby": headingId }, [
      top,
      this.said,
      this.drawing,
    ]);
    this.hidden = new Set();
    this.numbers = new Map();
    this.shownSince = null;
    this.forget = onThemeChange(() => this.table.rows && this.table.refresh());
    this.say(notice("loading", "Loading …"));
  }

  setTitle(title) {
    this.heading.textContent = title;
    this.chart.root.setAttribute("aria-label", title);
  }

  say(...notices) {
    this.said.replaceChildren(...notices);
  }

  /**
   * Show an answer.
   *
   * @param {Array} series `{labels, points, name}`, as the server answers them; `name` is optional.
   * @param {Object} shape `{unit, step, window, notes}`.
   */
  show(series, { unit = "", step, window, notes = [] }) {
    this.shownSince = new Date();
    const rows = series
      .map((each) => ({ series: each, summary: summaryOf(each) }))
      .sort((one, other) => order(other.summary) - order(one.summary));
    rows.forEach((row, place) => {
      const number = this.numberOf(nameOf(row.series));
      const isShown = place < LINES_MAX && !this.hidden.has(nameOf(row.series));
      row.line = { number, isShown, colour: () => seriesColour(number) };
    });
    const drawn = rows.slice(0, LINES_MAX);
    this.columns = toColumns(
      drawn.map((row) => row.series),
      step,
    );
    this.drawing.hidden = rows.length === 0;
    const said = notes.map((text) => notice("note", text));
    if (rows.length === 0 && notes.length === 0) {
      said.push(notice("empty", "There are no samples in this range."));
    }
    if (rows.length > LINES_MAX) {
      const words = `The chart draws the ${LINES_MAX} largest of ${rows.length} series: filter, or `;
      said.push(notice("note", `${words}group by fewer labels. The table has all of them.`));
    }
    this.say(...said);
    this.table.show(rows, unit);
    // The chart reads in the new rows what it has read in those before.
    this.chart.show(
      this.columns,
      drawn.map((row) => row.line),
      unit,
      window,
    );
  }

  /** Return the number that a series keeps, and with it its colour, from one answer to the next. */
  numberOf(name) {
    if (!this.numbers.has(name)) this.numbers.set(name, this.numbers.size);
    return this.numbers.get(name);
  }

  /** Show nothing but a notice. */
  clear(said) {
    this.drawing.hidden = true;
    this.shownSince = null;
    this.say(said);
  }

  /** Say what went wrong; what was shown before stays. */
  fail(error) {
    this.say(errorNotice(error, this.drawing.hidden ? null : this.shownSince));
  }

  read(place) {
    if (!this.table.rows) return;
    const time = place === null ? null : this.columns[0][place];
    this.table.read(time ?? null, (index) => this.columns[index + 1]?.[place] ?? null);
  }

  switch(indices, isShown) {
    for (const index of indices) {
      const row = this.table.rows[index];
      row.line.isShown = isShown;
      if (isShown) this.hidden.delete(nameOf(row.series));
      else this.hidden.add(nameOf(row.series));
      if (index < LINES_MAX) this.chart.switch(index, isShown);
    }
    this.table.refresh();
  }

  showOnly(index) {
    const { rows } = this.table;
    const isOnly = rows.every((row, other) => row.line.isShown === (other === index));
    rows.forEach((row, other) => {
      const isShown = isOnly || other === index;
      row.line.isShown = isShown;
      if (isShown) this.hidden.delete(nameOf(row.series));
      else this.hidden.add(nameOf(row.series));
    });
    this.chart.draw();
    this.table.refresh();
  }

  destroy() {
    this.forget();
    this.chart.destroy();
  }
}

function order({ last, max }) {
  return typeof last === "number" ? last : (max ?? -Infinity);
}
