// The state of the page, as it stands behind the # of its URL: no server and no log ever sees it.

import { formatChart, parseChart } from "./chart_definition.js";
import { formatRange, parseRange } from "./time_range.js";

export const TABS = ["explore", "jobs", "workers", "storage"];
export const REFRESH_SECONDS = [0, 5, 10, 30, 60, 300];

const FILTERS = ["component", "jobType", "search"];

/** Return the state that a URL's fragment stands for. */
function parseState(fragment) {
  const [tab, text = ""] = fragment.replace(/^#/, "").split(/\?(.*)/s);
  const fields = new URLSearchParams(text);
  const refresh = Number(fields.get("refresh") ?? 30);
  const state = {
    tab: TABS.includes(tab) ? tab : TABS[0],
    range: parseRange(fields),
    refresh: REFRESH_SECONDS.includes(refresh) ? refresh : 30,
    charts: fields.getAll("chart").map(parseChart),
  };
  for (const name of FILTERS) state[name] = fields.get(name) ?? "";
  return state;
}

/** Return the fragment that stands for a state. */
export function formatState(state) {
  const fields = new URLSearchParams();
  formatRange(state.range, fields);
  if (state.refresh !== 30) fields.set("refresh", state.refresh);
  for (const name of FILTERS) if (state[name]) fields.set(name, state[name]);
  for (const chart of state.charts) fields.append("chart", formatChart(chart));
  return `#${state.tab}?${fields}`;
}

const listeners = new Set();

export function currentState() {
  return parseState(location.hash);
}

/** Call a function with every later state. */
export function onStateChange(listener) {
  listeners.add(listener);
}

/** Change parts of the state; the browser's Back undoes it, unless it replaces the current one. */
export function changeState(parts, { replaces = false } = {}) {
  const fragment = formatState({ ...currentState(), ...parts });
  if (fragment === location.hash) return;
  if (replaces) history.replaceState(null, "", fragment);
  else history.pushState(null, "", fragment);
  tell();
}

function tell() {
  const state = currentState();
  for (const listener of listeners) listener(state);
}

addEventListener("popstate", tell);
