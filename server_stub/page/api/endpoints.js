// The routes that the page uses. Ids stay strings: 64 bits are more than a number holds.

import { ApiError } from "./errors.js";
import { apiUrl, request } from "./request.js";

const SUGGESTIONS_MAX = 50;

/** Return `{names: [{metric_name, metric_type, help_text, unit}], truncated}`. */
export function findNames(search, options) {
  return request("api/metrics/names", { search, limit: SUGGESTIONS_MAX }, options);
}

/** Return `{labels: [{name, value_count, values, truncated}]}` of a metric. */
export function findLabels(metricName, options) {
  return request("api/metrics/labels", { metric_name: metricName }, options);
}

/** Return `{values, truncated}` of a label of a metric. */
export function findLabelValues(metricName, label, search, options) {
  const path = `api/metrics/labels/${encodeURIComponent(label)}/values`;
  const parameters = { metric_name: metricName, search, limit: SUGGESTIONS_MAX };
  return request(path, parameters, options);
}

/** Return one metric over time; the parameters are those of the route. */
export function readSeries(parameters, options) {
  return request("api/metrics/series", parameters, options);
}

export async function listComponents(options) {
  return (await request("api/runtime", {}, options)).components;
}

export function deleteComponent(runtimeId) {
  return request(`api/runtime/${encodeURIComponent(runtimeId)}`, {}, { method: "DELETE" });
}

export function readPartitions(options) {
  return request("api/metrics/partitions", {}, options);
}

export function readExport(options) {
  return request("api/metrics/export", {}, options);
}

/** Return the page for Prometheus with the server's own metrics, as a text. */
export function readOwnPage({ signal } = {}) {
  const read = (answer) => answer.text();
  return request("metrics", { component_name: "metrics-server" }, { signal, read });
}

export function readVersion(options) {
  return request("api/version", {}, options);
}

/** Return `{isReady, words}`: whether the server can store batches, and what it lacks. */
export async function readReadiness({ signal } = {}) {
  // It needs no token, and a 503 is no reason to ask again: it is the answer.
  const answer = await fetch(apiUrl("readyz"), { signal, cache: "no-store" }).catch((error) => {
    throw signal?.aborted ? error : new ApiError("away", "The server does not answer.");
  });
  const body = await answer.json().catch(() => ({}));
  return { isReady: answer.ok, words: body.detail ?? body.status ?? `status ${answer.status}` };
}
