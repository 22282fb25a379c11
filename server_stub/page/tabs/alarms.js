// Evaluates the alarms, on the last hour of the server's own metrics.

import { readExport, readReadiness, readSeries } from "../api/endpoints.js";
import { formatDuration, formatNumber } from "../charts/numbers.js";
import { EMPTY_CHART, seriesParameters } from "../state/chart_definition.js";
import { ALARMS } from "./alarm_rules.js";

const HOUR_SECONDS = 3_600;
const STEP_SECONDS = 300;
const STAYS_SECONDS = 900;

const fine = (words) => ({ state: "fine", words });
const alarm = (words) => ({ state: "alarm", words });
const unknown = (words) => ({ state: "unknown", words });

/**
 * Return every alarm with its `state`: fine, alarm, unknown or elsewhere; and the words for it.
 *
 * What the server cannot answer is unknown: the alarms beside it are evaluated all the same.
 *
 * @throws {ApiError} The server is away, or wants another token.
 */
export function evaluateAlarms(signal) {
  const end = Date.now() / 1_000;
  const window = { start: end - HOUR_SECONDS, end, step: STEP_SECONDS };
  const read = async (metric, aggregation, filters = []) => {
    const chart = { ...EMPTY_CHART, metric, aggregation, filters };
    const { series } = await readSeries(seriesParameters(chart, window), { signal });
    const points = series[0]?.points ?? [];
    return points.filter(([, value]) => typeof value === "number");
  };
  return Promise.all(
    ALARMS.map(async (rule) => ({
      ...rule,
      ...(await evaluate(rule, read, end, signal).catch(asUnknown)),
    })),
  );
}

function asUnknown(error) {
  if (error.kind !== "busy" && error.kind !== "broken") throw error;
  return unknown(error.message);
}

async function evaluate(rule, read, end, signal) {
  if (rule.inLog) return { state: "elsewhere", words: "only in the log" };
  if (rule.readiness) {
    const { isReady, words } = await readReadiness({ signal });
    return isReady ? fine("200") : alarm(words);
  }
  if (rule.exportBounds) return onExport(rule.exportBounds, await readExport({ signal }));
  if (rule.isAbove) return isAbove(rule.isAbove, read);
  if (rule.staysAbove) return staysAbove(rule.staysAbove, read, end);
  if (rule.growsAllHour) {
    const points = await read(rule.growsAllHour, "increase");
    const half = (from, to) => total(points.filter(([time]) => time >= from && time < to));
    const middle = end - HOUR_SECONDS / 2;
    const grown = [half(end - 2 * HOUR_SECONDS, middle), half(middle, end)];
    const words = `${formatNumber(grown[0] + grown[1])} in the last hour`;
    return grown.every((growth) => growth > 0) ? alarm(words) : fine(words);
  }
  const growths = await Promise.all(rule.grows.map((metric) => growthOf(metric, rule, read)));
  const growth = growths.reduce((sum, each) => sum + each, 0);
  const words = `${formatNumber(growth)} in the last hour`;
  return growth > 0 ? alarm(words) : fine(words);
}

function total(points) {
  return points.reduce((sum, [, value]) => sum + value, 0);
}

async function growthOf(metric, { filters }, read) {
  if (metric.endsWith("_total")) return total(await read(metric, "increase", filters));
  const points = await read(metric, "max", filters);
  return points.length > 0 ? Math.max(0, points.at(-1)[1] - points[0][1]) : 0;
}

function onExport({ lagMax, lossMin }, { configured, lag_seconds: lag, loss_in_seconds: loss }) {
  if (!configured) return fine("this server does not export");
  if (lag === null) return unknown("not looked at yet");
  const ends = loss === null ? "" : `, the oldest sample is dropped in ${formatDuration(loss)}`;
  const words = `behind by ${formatDuration(lag)}${ends}`;
  return lag > lagMax || (loss !== null && loss < lossMin) ? alarm(words) : fine(words);
}

async function isAbove({ metric, bound }, read) {
  const points = await read(metric, "max");
  if (points.length === 0) return unknown("no samples in the last hour");
  const [, value] = points.at(-1);
  return value > bound ? alarm(formatNumber(value)) : fine(formatNumber(value));
}

async function staysAbove({ metric, bound, unit }, read, end) {
  const points = (await read(metric, "min")).filter(([time]) => time >= end - STAYS_SECONDS);
  if (points.length === 0) return unknown("no samples in the last quarter of an hour");
  const least = Math.min(...points.map(([, value]) => value));
  const words = `${formatNumber(least, unit)} at least, in the last quarter of an hour`;
  return least > bound ? alarm(words) : fine(words);
}
