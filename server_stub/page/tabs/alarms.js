// Evaluates the alarms, on the last hour of the server's own metrics.

import { readExport, readOwnPage, readReadiness, readSeries } from "../api/endpoints.js";
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
  const read = async (metric, aggregation, filters = [], fields = {}) => {
    const chart = { ...EMPTY_CHART, metric, aggregation, filters, ...fields };
    const { series } = await readSeries(seriesParameters(chart, window), { signal });
    return series.map(({ labels, points }) => ({
      labels,
      points: points.filter(([, value]) => typeof value === "number"),
    }));
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
  if (rule.ownPage) return onOwnPage(signal);
  if (rule.exportLagMax) return onLag(rule.exportLagMax, await readExport({ signal }));
  if (rule.exportLossMin) return onLoss(rule.exportLossMin, await readExport({ signal }));
  if (rule.isAbove) return isAbove(rule.isAbove, rule.filters, read);
  if (rule.failedShareMax) return onFailedJobs(rule.failedShareMax, read);
  if (rule.spoolAvailable) return onSpool(rule.spoolAvailable, read);
  if (rule.diskFreeMin) return onDisks(rule.diskFreeMin, read);
  if (rule.staysAbove) return staysAbove(rule.staysAbove, read, end);
  if (rule.staysNear) return staysNear(rule.staysNear, read, end);
  if (rule.growsAllHour) {
    const points = only(await read(rule.growsAllHour, "increase"));
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

/** Return the points of the one series of a chart without groups. */
function only(series) {
  return series[0]?.points ?? [];
}

function lastOf({ points }) {
  return points.at(-1)?.[1];
}

function total(points) {
  return points.reduce((sum, [, value]) => sum + value, 0);
}

async function growthOf(metric, { filters }, read) {
  if (metric.endsWith("_total")) return total(only(await read(metric, "increase", filters)));
  const points = only(await read(metric, "max", filters));
  return points.length > 0 ? Math.max(0, points.at(-1)[1] - points[0][1]) : 0;
}

async function onOwnPage(signal) {
  try {
    await readOwnPage({ signal });
    return fine("200");
  } catch (error) {
    if (error.kind !== "busy" && error.kind !== "broken") throw error;
    return alarm(error.message);
  }
}

function onLag(lagMax, { configured, lag_seconds: lag }) {
  if (!configured) return fine("this server does not export");
  if (lag === null) return unknown("not looked at yet");
  const words = `behind by ${formatDuration(lag)}`;
  return lag > lagMax ? alarm(words) : fine(words);
}

function onLoss(lossMin, { configured, loss_in_seconds: loss }) {
  if (!configured) return fine("this server does not export");
  if (loss === null) return fine("nothing is to be dropped");
  const words = `the oldest sample is dropped in ${formatDuration(loss)}`;
  return loss < lossMin ? alarm(words) : fine(words);
}

async function isAbove({ metric, quantile, bound, unit }, filters, read) {
  const points = only(
    quantile
      ? await read(metric, "quantile", filters, { quantile })
      : await read(metric, "max", filters),
  );
  if (points.length === 0) return unknown("no samples in the last hour");
  const [, value] = points.at(-1);
  const words = formatNumber(value, unit);
  return value > bound ? alarm(words) : fine(words);
}

async function onFailedJobs(shareMax, read) {
  const metric = "noetl_jobs_processed_total";
  const groupBy = ["component_name", "job_type", "status"];
  const jobs = new Map();
  for (const { labels, points } of await read(metric, "increase", [], { groupBy })) {
    const type = `${labels.component_name} ${labels.job_type}`;
    const { all = 0, failed = 0 } = jobs.get(type) ?? {};
    const ended = total(points);
    jobs.set(type, { all: all + ended, failed: failed + (labels.status === "failed" ? ended : 0) });
  }
  const shares = [...jobs]
    .filter(([, { all }]) => all > 0)
    .map(([type, { all, failed }]) => ({ type, share: failed / all }))
    .sort((one, other) => other.share - one.share);
  if (shares.length === 0) return fine("no job has ended in the last hour");
  const [{ type, share }] = shares;
  const words = `${formatNumber(100 * share)} % of ${type} in the last hour`;
  return share > shareMax ? alarm(words) : fine(words);
}

async function onSpool(metric, read) {
  const points = only(await read(metric, "min"));
  if (points.length === 0) return fine("no worker has a spool");
  return points.at(-1)[1] < 1 ? alarm("0") : fine("1");
}

async function onDisks(freeMin, read) {
  const groupBy = ["component_name", "worker_id", "mountpoint"];
  const keyOf = ({ labels }) => groupBy.map((name) => labels[name]).join(" ");
  const [available, size] = await Promise.all(
    ["system_filesystem_available_bytes", "system_filesystem_size_bytes"].map((metric) =>
      read(metric, "last", [], { groupBy }),
    ),
  );
  const sizes = new Map(size.map((series) => [keyOf(series), lastOf(series)]));
  const disks = available
    .map((series) => ({ series, free: lastOf(series) / sizes.get(keyOf(series)) }))
    .filter(({ free }) => Number.isFinite(free))
    .sort((one, other) => one.free - other.free);
  if (disks.length === 0) return unknown("no samples in the last hour");
  const [{ series, free }] = disks;
  const words = `${formatNumber(100 * free)} % free: ${series.labels.mountpoint}`;
  return free < freeMin ? alarm(words) : fine(words);
}

async function staysAbove({ metric, bound, unit }, read, end) {
  const points = only(await read(metric, "min")).filter(([time]) => time >= end - STAYS_SECONDS);
  if (points.length === 0) return unknown("no samples in the last quarter of an hour");
  const least = Math.min(...points.map(([, value]) => value));
  const words = `${formatNumber(least, unit)} at least, in the last quarter of an hour`;
  return least > bound ? alarm(words) : fine(words);
}

async function staysNear({ metric, boundMetric, share, unit }, read, end) {
  // Each worker process of a server has a part of the bound.
  const groupBy = ["component_name", "worker_id"];
  const [held, bounds] = await Promise.all([
    read(metric, "min", [], { groupBy }),
    read(boundMetric, "last", [], { groupBy }),
  ]);
  const since = end - STAYS_SECONDS;
  const alive = (series) => series.filter(({ points }) => points.at(-1)?.[0] >= since);
  const least = alive(held).map(({ points }) =>
    Math.min(...points.filter(([time]) => time >= since).map(([, value]) => value)),
  );
  if (least.length === 0) return unknown("no samples in the last quarter of an hour");
  const bound = alive(bounds).reduce((sum, series) => sum + lastOf(series), 0);
  if (bound === 0) return unknown("the server has not reported its bound yet");
  const bytes = least.reduce((sum, each) => sum + each, 0);
  const words = `${formatNumber(bytes, unit)} at least, of ${formatNumber(bound, unit)}`;
  return bytes > share * bound ? alarm(words) : fine(words);
}
