// From the points of an answer to the columns that a chart draws.

// A worker sends an unchanged series once in a while, so a short silence is no gap.
const SILENCE_SECONDS_MAX = 300;

/**
 * Return the columns of series: one of times, and one of values for each series.
 *
 * A column has null where its series has a gap, and undefined where a line goes on.
 *
 * @param {Array} series What the server answers: `{points: [[time, value]]}`.
 * @param {number} stepSeconds The length of a bucket.
 */
export function toColumns(series, stepSeconds) {
  const times = timesOf(series);
  const places = new Map(Array.from(times, (time, index) => [time, index]));
  const silence = Math.max(SILENCE_SECONDS_MAX, 1.5 * stepSeconds);
  const columns = series.map(({ points }) => column(points, places, times.length, silence));
  return [times, ...columns];
}

function timesOf(series) {
  const found = new Set();
  for (const { points } of series) for (const [time] of points) found.add(time);
  return Float64Array.from(found).sort();
}

function column(points, places, length, silence) {
  const values = new Array(length).fill(undefined);
  let before = null;
  for (const [time, value] of points) {
    const place = places.get(time);
    // What is no number has no place on the axis; the table shows it.
    values[place] = typeof value === "number" ? value : null;
    if (before !== null && time - before > silence)
      values.fill(null, places.get(before) + 1, place);
    before = time;
  }
  return values;
}

/** Return the places of a column whose neighbours are gaps: they are drawn as dots. */
export function isolatedPlaces(values) {
  const isolated = [];
  let first = -1; // of the line that is being followed
  let last = -1;
  const end = () => {
    if (first !== -1 && first === last) isolated.push(first);
    first = -1;
  };
  values.forEach((value, place) => {
    if (value === null) end();
    else if (value !== undefined) {
      if (first === -1) first = place;
      last = place;
    }
  });
  end();
  return isolated;
}

/** Return `{last, min, avg, max}` of a series; null is no value. */
export function summaryOf({ points }) {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  let count = 0;
  for (const [, value] of points) {
    if (typeof value !== "number") continue;
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    count += 1;
  }
  const last = points.length > 0 ? points.at(-1)[1] : null;
  if (count === 0) return { last, min: null, avg: null, max: null };
  return { last, min, avg: sum / count, max };
}
