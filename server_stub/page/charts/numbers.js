// Numbers for people: a few digits, with the prefix and the unit that fit.

const DECIMAL = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
  [1, ""],
];
const BINARY = [
  [2 ** 40, "Ti"],
  [2 ** 30, "Gi"],
  [2 ** 20, "Mi"],
  [2 ** 10, "Ki"],
  [1, ""],
];
const DURATIONS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
  [1e-3, "ms"],
  [1e-6, "µs"],
  [1e-9, "ns"],
];

function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-4) return value.toExponential(2);
  if (Number.isInteger(value) && size < 1e6) return String(value);
  return String(Number(value.toPrecision(size >= 1_000 ? 4 : 3)));
}

function scaled(value, scale, suffix = "") {
  const size = Math.abs(value);
  const [factor, prefix] = scale.find(([each]) => size >= each) ?? scale.at(-1);
  const unit = `${prefix}${suffix}`;
  return unit === "" ? digits(value / factor) : `${digits(value / factor)} ${unit}`;
}

/**
 * Return a value as text.
 *
 * @param {number | string | null} value A number; "NaN", "+Inf", "-Inf"; or null, which is no value.
 * @param {string} unit The unit, like "seconds", "bytes", "percent" or "samples".
 */
export function formatNumber(value, unit = "") {
  // The NaN of the server says that there is no value, such as a quantile of no observations.
  if (value === null || value === undefined || value === "NaN") return "–";
  if (typeof value === "string") return value;
  if (value === 0) return "0";
  if (unit === "bytes") return scaled(value, BINARY, "B");
  if (unit === "bytes/s") return scaled(value, BINARY, "B/s");
  if (unit === "seconds") return scaled(value, DURATIONS);
  if (unit === "percent") return `${digits(value)} %`;
  if (Math.abs(value) < 1) return digits(value);
  return scaled(value, Math.abs(value) >= 1e4 ? DECIMAL : [[1, ""]]);
}

/** Return a moment as text: with its day, unless it is today. */
export function formatMoment(moment) {
  const isToday = moment.toDateString() === new Date().toDateString();
  return isToday ? moment.toLocaleTimeString() : moment.toLocaleString();
}

const DAY_SECONDS = 86_400;

/** Return the texts of the ticks of a time axis; a new day has its date under it. */
export function formatTicks(ticks, stepSeconds) {
  let day = "";
  return ticks.map((tick) => {
    const moment = new Date(tick * 1_000);
    const date = moment.toLocaleDateString(undefined, { month: "short", day: "numeric" });
    const isNew = date !== day;
    day = date;
    if (stepSeconds >= DAY_SECONDS) return date;
    const length = stepSeconds < 60 ? 8 : 5;
    const time = moment.toTimeString().slice(0, length);
    return isNew ? `${time}\n${date}` : time;
  });
}

/** Return how long it is between two moments, in words. */
export function formatDuration(seconds) {
  const size = Math.abs(seconds);
  if (size < 60) return `${Math.round(size)} s`;
  if (size < 3_600) return `${Math.round(size / 60)} min`;
  if (size < DAY_SECONDS) return `${digits(Math.round(size / 360) / 10)} h`;
  const days = Math.round(size / 8_640) / 10;
  return days === 1 ? "1 day" : `${digits(days)} days`;
}
