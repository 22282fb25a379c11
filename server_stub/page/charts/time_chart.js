// A chart over time, drawn by uPlot: hover or arrow keys read values, a drag chooses a range.

import { element } from "../elements/element.js";
import { onThemeChange } from "../state/theme.js";
import { styleColour } from "./colours.js";
import { isolatedPlaces } from "./columns.js";
import { formatNumber, formatTicks } from "./numbers.js";

const { uPlot } = globalThis;
const HEIGHT = 220;
// Beyond so many lines a dot on each of them is more than the eye, or the processor, can use.
const CURSOR_DOTS_MAX = 50;
// A cursor there reads nothing.
const OUTSIDE = -10;

const POWERS_OF_TWO = Array.from({ length: 60 }, (_, exponent) => 2 ** exponent);

export class TimeChart {
  /**
   * @param {Object} options
   * @param {string} options.label What a screen reader says of it.
   * @param {function(number, number)} options.onselect Gets a range that was dragged, in seconds.
   * @param {function(number | null)} options.onread Gets the place whose values are read.
   */
  constructor({ label, onselect, onread }) {
    this.onselect = onselect;
    this.onread = onread;
    this.plot = null;
    this.shown = null;
    this.readTime = null;
    this.root = element("div", {
      class: "chart",
      tabindex: "0",
      role: "group",
      "aria-label": label,
      "aria-roledescription": "chart",
      onkeydown: (event) => this.move(event),
      onblur: () => this.leave(),
    });
    this.sizes = new ResizeObserver(() => this.fit());
    this.sizes.observe(this.root);
    this.forget = onThemeChange(() => this.draw());
  }

  /**
   * Draw columns; `lines` has `{colour, isShown}` of each series, `window` has start and end.
   *
   * A plot that fits stays, so that a reload does not end what a user drags over it.
   */
  show(columns, lines, unit, window) {
    const before = this.shown;
    const isolated = columns.slice(1).map(isolatedPlaces);
    this.shown = { columns, lines, unit, window, isolated };
    const fits = before?.unit === unit && before.lines.length === lines.length;
    if (fits) this.plot.batch(() => this.replace());
    else this.draw();
  }

  replace() {
    const { columns, lines } = this.shown;
    lines.forEach(({ isShown }, index) => {
      if (this.plot.series[index + 1].show !== isShown) this.switch(index, isShown);
    });
    this.plot.setData(columns);
  }

  draw() {
    if (this.shown === null) return;
    const { columns, lines, unit } = this.shown;
    this.plot?.destroy();
    // An answer that comes later has other lines in the same places.
    const series = lines.map(({ isShown }, index) => ({
      stroke: () => this.shown.lines[index].colour(),
      width: 1.25,
      show: isShown,
      points: {
        size: 4,
        show: () => this.shown.isolated[index].length > 0,
        filter: () => this.shown.isolated[index],
      },
    }));
    const axis = { stroke: styleColour("text-quiet"), font: "11px system-ui, sans-serif" };
    const lineOf = (name) => ({ stroke: styleColour(name), width: 1 });
    this.plot = new uPlot(
      {
        width: Math.max(this.root.clientWidth, 120),
        height: HEIGHT,
        series: [{}, ...series],
        legend: { show: false },
        padding: [8, 22, 0, 0],
        scales: {
          x: { time: true, range: () => [this.shown.window.start, this.shown.window.end] },
          y: { range: valueRange },
        },
        axes: [
          {
            ...axis,
            grid: lineOf("grid"),
            ticks: lineOf("grid"),
            values: (_, ticks, __, ___, step) => formatTicks(ticks, step),
          },
          {
            ...axis,
            grid: lineOf("grid"),
            ticks: lineOf("grid"),
            size: axisSize,
            ...(unit.startsWith("bytes") ? { incrs: POWERS_OF_TWO } : {}),
            values: (_, ticks) => ticks.map((tick) => formatNumber(tick, unit)),
          },
        ],
        cursor: {
          y: false,
          // uPlot makes the dots unless it is given something else: true would be nothing.
          points: lines.length <= CURSOR_DOTS_MAX ? { size: 6 } : { show: false },
          drag: { x: true, y: false, setScale: false },
        },
        hooks: {
          draw: [(plot) => this.readOn(plot)],
          setCursor: [(plot) => this.read(plot)],
          setSelect: [(plot) => this.select(plot)],
        },
      },
      columns,
      this.root,
    );
  }

  fit() {
    const width = this.root.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) {
      this.plot.setSize({ width, height: HEIGHT });
    }
  }

  switch(index, isShown) {
    this.shown.lines[index].isShown = isShown;
    this.plot.setSeries(index + 1, { show: isShown });
  }

  read(plot) {
    const place = plot.cursor.idx ?? null;
    this.readTime = place === null ? null : plot.data[0][place];
    this.onread(place);
  }

  /** Read the same time in what was drawn now, as long as it is in view. */
  readOn(plot) {
    if (this.readTime === null) return;
    const { start, end } = this.shown.window;
    const isInView = start <= this.readTime && this.readTime <= end;
    const left = isInView ? plot.valToPos(this.readTime, "x") : OUTSIDE;
    plot.setCursor({ left, top: isInView ? plot.cursor.top : OUTSIDE });
  }

  endReading() {
    this.plot?.setCursor({ left: OUTSIDE, top: OUTSIDE });
  }

  /** End the reading when the focus goes elsewhere, but not when the user looks at another window. */
  leave() {
    if (document.activeElement !== this.root) this.endReading();
  }

  select(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const start = plot.posToVal(left, "x");
    const end = plot.posToVal(left + width, "x");
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.onselect(start, end);
  }

  /** Read the next or the previous values by the arrow keys; Escape ends the reading. */
  move(event) {
    const times = this.plot?.data[0] ?? [];
    if (times.length === 0) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    const place = this.plot.cursor.idx;
    if (event.key === "Escape") this.endReading();
    else if (steps !== undefined || event.key === "Home" || event.key === "End") {
      let next = event.key === "Home" ? 0 : times.length - 1;
      if (steps !== undefined && place !== null && place !== undefined) next = place + steps;
      next = Math.max(0, Math.min(next, times.length - 1));
      this.plot.setCursor({ left: this.plot.valToPos(times[next], "x"), top: 10 });
    } else return;
    event.preventDefault();
  }

  destroy() {
    this.sizes.disconnect();
    this.forget();
    this.plot?.destroy();
  }
}

function valueRange(_, lowest, highest) {
  if (lowest === null) return [0, 1];
  // Zero is in view, so that a small change does not look like a large one.
  const bottom = Math.min(0, lowest);
  const top = Math.max(0, highest);
  if (bottom === top) return [0, 1];
  const margin = 0.05 * (top - bottom);
  return [bottom === 0 ? 0 : bottom - margin, top === 0 ? 0 : top + margin];
}

function axisSize(plot, values) {
  const longest = Math.max(0, ...(values ?? []).map((text) => text.length));
  return 22 + 6 * longest;
}
