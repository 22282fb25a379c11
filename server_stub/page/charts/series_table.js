// The table beside a chart. It is the legend too: a series is switched on and off there.

import { button, cut, element } from "../elements/element.js";
import { keepFocus } from "../elements/kept_focus.js";
import { seriesColour } from "./colours.js";
import { formatNumber } from "./numbers.js";

const ROWS_MAX = 100;
const COLUMNS = ["last", "min", "avg", "max"];

/** Return the words for a series: what tells it from the others. */
export function nameOf({ name, labels }) {
  if (name) return name;
  const texts = Object.entries(labels).map(([label, value]) => `${label}=${value}`);
  return texts.join(", ") || "all";
}

export class SeriesTable {
  /**
   * @param {function(number, boolean)} onswitch Gets a series' place, and whether it is to be shown.
   * @param {function(number)} ononly Gets the place of the only series to be shown, or of none to
   *     show all.
   */
  constructor({ onswitch, ononly }) {
    this.onswitch = onswitch;
    this.ononly = ononly;
    this.rowsShown = ROWS_MAX;
    this.cells = [];
    this.reading = null;
    this.heading = element("th", { scope: "col", class: "number" }, ["last"]);
    this.body = element("tbody");
    this.more = element("div", { class: "more" });
    const others = COLUMNS.slice(1).map((name) =>
      element("th", { scope: "col", class: "number" }, [name]),
    );
    const head = element("tr", {}, [
      element("th", { scope: "col" }, ["series"]),
      this.heading,
      ...others,
    ]);
    const table = element("table", {}, [element("thead", {}, [head]), this.body]);
    this.root = element(
      "div",
      {
        class: "scroll series-table",
        tabindex: "0",
        role: "group",
        "aria-label": "Values of the series",
      },
      [table, this.more],
    );
  }

  /** Show series with `{series, summary, line}`, in the order in which they are given. */
  show(rows, unit) {
    this.rows = rows;
    this.unit = unit;
    this.draw();
  }

  draw() {
    this.cells = [];
    const shown = this.rows.slice(0, this.rowsShown);
    keepFocus(this.root, () => {
      this.body.replaceChildren(...shown.map((row, index) => this.row(row, index)));
      this.offerMore(shown.length);
    });
    if (this.reading !== null) this.read(this.reading.time, this.reading.valueOf);
  }

  offerMore(shownCount) {
    const hidden = this.rows.length - shownCount;
    this.more.replaceChildren();
    if (hidden === 0) return;
    const showMore = () => {
      this.rowsShown += 10 * ROWS_MAX;
      this.draw();
    };
    const words = `Show ${Math.min(hidden, 10 * ROWS_MAX)} more`;
    this.more.append(
      `${shownCount} of ${this.rows.length} series. `,
      button(words, showMore, { "data-focus": "more" }),
    );
  }

  row({ series, summary, line }, index) {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = seriesColour(line.number);
    const name = nameOf(series);
    const toggle = element(
      "button",
      {
        type: "button",
        class: "series-switch",
        "aria-pressed": String(line.isShown),
        title: `${name}\nClick: on or off. Shift or double click: only this one.`,
        "data-focus": `series ${name}`,
      },
      [swatch, cut(name)],
    );
    toggle.addEventListener("click", (event) => {
      if (event.shiftKey) this.ononly(index);
      else this.onswitch(index, !line.isShown);
    });
    toggle.addEventListener("dblclick", () => this.ononly(index));
    const cells = COLUMNS.map((column) =>
      element("td", { class: "number" }, [formatNumber(summary[column], this.unit)]),
    );
    this.cells.push({ toggle, swatch, value: cells[0] });
    return element("tr", {}, [element("th", { scope: "row" }, [toggle]), ...cells]);
  }

  /** Show the switches and colours as the lines are now. */
  refresh() {
    this.cells.forEach(({ toggle, swatch }, index) => {
      const { line } = this.rows[index];
      toggle.setAttribute("aria-pressed", String(line.isShown));
      swatch.style.background = seriesColour(line.number);
    });
  }

  /** Show the values at a time instead of the last ones; null is for the last ones again. */
  read(time, valueOf) {
    this.reading = time === null ? null : { time, valueOf };
    this.heading.textContent = time === null ? "last" : new Date(time * 1_000).toLocaleTimeString();
    this.cells.forEach(({ value }, index) => {
      const row = this.rows[index];
      const read = time === null ? row.summary.last : valueOf(index);
      value.textContent = formatNumber(read, this.unit);
    });
  }
}
