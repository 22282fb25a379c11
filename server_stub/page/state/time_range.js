// The range of time that the page shows, and the step that fits it.

export const RANGES = [
  ["5m", "5 minutes"],
  ["15m", "15 minutes"],
  ["1h", "1 hour"],
  ["3h", "3 hours"],
  ["6h", "6 hours"],
  ["12h", "12 hours"],
  ["1d", "1 day"],
  ["2d", "2 days"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
];
const DEFAULT_RANGE = "1h";

const UNIT_SECONDS = { m: 60, h: 3_600, d: 86_400 };
// A worker reports every ten seconds by default: a shorter step has buckets without a sample.
const STEPS = [15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400, 172_800, 604_800];
const POINTS_MAX = 250;

function durationSeconds(text) {
  const found = /^(\d{1,4})([mhd])$/.exec(text);
  return found && Number(found[1]) > 0 ? Number(found[1]) * UNIT_SECONDS[found[2]] : null;
}

/** Return the range in a URL's fields: `{relative}` or `{start, end}` in epoch seconds. */
export function parseRange(fields) {
  const start = Date.parse(fields.get("from") ?? "") / 1_000;
  const end = Date.parse(fields.get("to") ?? "") / 1_000;
  if (Number.isFinite(start) && Number.isFinite(end) && start < end) return { start, end };
  const relative = fields.get("range") ?? DEFAULT_RANGE;
  return { relative: durationSeconds(relative) === null ? DEFAULT_RANGE : relative };
}

/** Put a range into a URL's fields. */
export function formatRange(range, fields) {
  if (range.relative) fields.set("range", range.relative);
  else {
    fields.set("from", new Date(range.start * 1_000).toISOString());
    fields.set("to", new Date(range.end * 1_000).toISOString());
  }
}

/** Return the shortest sensible step of a length of time, both in seconds. */
function stepOf(seconds) {
  return STEPS.find((step) => seconds / step <= POINTS_MAX) ?? STEPS.at(-1);
}

/** Return `{start, end, step}` of a range in epoch seconds, at this moment. */
export function windowOf(range, now = Date.now() / 1_000) {
  const seconds = range.relative ? durationSeconds(range.relative) : range.end - range.start;
  const end = range.relative ? now : range.end;
  return { start: end - seconds, end, step: stepOf(seconds) };
}

/** Return a moment as the input of a form has it, in the time zone of the browser. */
export function asLocalInput(epochSeconds) {
  const moment = new Date(epochSeconds * 1_000);
  return new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
