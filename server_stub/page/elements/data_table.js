// A table that its user sorts, with as many rows as are asked for.

import { button, cut, element } from "./element.js";
import { keepFocus } from "./kept_focus.js";

const ROWS_MAX = 200;

export class DataTable {
  /**
   * @param {string} label What a screen reader says of it.
   * @param {Array<Object>} columns `{label, value, show, isNumber}`: `value` of a row is what it is
   *   sorted by, and `show` returns its text or node, by default the value.
   * @param {Object} options `{sortBy, isDescending, keyOf, empty}`: how it is sorted at first, what a
   *     row is called, so that the focus stays on it, and the words where there are no rows.
   */
  constructor(label, columns, { sortBy = 0, isDescending = false, keyOf, empty = "None." }) {
    Object.assign(this, { columns, sortBy, isDescending, keyOf, empty });
    this.rows = [];
    this.rowsShown = ROWS_MAX;
    this.headings = columns.map((column, at) => this.heading(column, at));
    this.body = element("tbody");
    this.more = element("div", { class: "more" });
    const head = element("thead", {}, [element("tr", {}, this.headings)]);
    this.root = element(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": label },
      [element("table", { class: "data" }, [head, this.body]), this.more],
    );
  }

  heading({ label, isNumber }, at) {
    const sort = () => {
      this.isDescending = this.sortBy === at ? !this.isDescending : Boolean(isNumber);
      this.sortBy = at;
      this.draw();
    };
    const properties = { class: isNumber ? "number" : null };
    if (label === "") return element("td", properties);
    return element("th", { scope: "col", ...properties }, [button(label, sort, { class: "sort" })]);
  }

  show(rows) {
    this.rows = rows;
    this.draw();
  }

  draw() {
    this.headings.forEach((heading, at) => {
      const order = this.isDescending ? "descending" : "ascending";
      if (at === this.sortBy) heading.setAttribute("aria-sort", order);
      else heading.removeAttribute("aria-sort");
    });
    const { value } = this.columns[this.sortBy];
    const sign = this.isDescending ? -1 : 1;
    const sorted = this.rows.toSorted((one, other) => compare(value(one), value(other), sign));
    const shown = sorted.slice(0, this.rowsShown);
    keepFocus(this.root, () => {
      this.body.replaceChildren(...shown.map((row) => this.row(row)));
      if (shown.length === 0) {
        const cell = element("td", { colspan: this.columns.length, class: "help" }, [this.empty]);
        this.body.append(element("tr", {}, [cell]));
      }
      this.offerMore(shown.length, sorted.length);
    });
  }

  offerMore(shownCount, count) {
    this.more.replaceChildren();
    if (count === shownCount) return;
    const showMore = () => {
      this.rowsShown += 5 * ROWS_MAX;
      this.draw();
    };
    const more = button("Show more", showMore, { "data-focus": "more" });
    this.more.append(`${shownCount} of ${count}. `, more);
  }

  row(row) {
    const cells = this.columns.map(({ value, show = value, isNumber }, at) => {
      const content = show(row) ?? "–";
      const text = String(content);
      const node = content instanceof Node || isNumber ? content : cut(text);
      const isHeading = at === 0;
      const properties = { class: isNumber ? "number" : null };
      if (isHeading) properties.scope = "row";
      return element(isHeading ? "th" : "td", properties, [node]);
    });
    const controls = cells.flatMap((cell) => [...cell.querySelectorAll("button")]);
    controls.forEach((control, at) => {
      control.dataset.focus = `${this.keyOf(row)}\n${at}`;
    });
    return element("tr", {}, cells);
  }
}

function compare(one, other, sign) {
  // What has no value comes last, whichever way.
  const hasOne = isValue(one);
  if (hasOne !== isValue(other)) return hasOne ? -1 : 1;
  if (!hasOne) return 0;
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  return sign * String(one).localeCompare(String(other), undefined, { numeric: true });
}

function isValue(value) {
  return value !== null && value !== undefined && !Number.isNaN(value);
}
