// The page: its tabs and controls, and the loading of what a tab shows, again and again.
//
// Why so: docs/decisions/page.md.

import { onConnectionChange } from "./api/connection.js";
import { onRefusal } from "./api/token.js";
import { formatMoment } from "./charts/numbers.js";
import { element } from "./elements/element.js";
import { notice } from "./elements/notice.js";
import { TABS, currentState, formatState, onStateChange } from "./state/location.js";
import { windowOf } from "./state/time_range.js";
import { Controls } from "./shell/controls.js";
import { TokenForm } from "./shell/token_form.js";
import { Version } from "./shell/version.js";
import { Explore } from "./tabs/explore.js";
import { Jobs } from "./tabs/jobs.js";
import { Storage } from "./tabs/storage.js";
import { Workers } from "./tabs/workers.js";

const TAB_CLASSES = { explore: Explore, jobs: Jobs, workers: Workers, storage: Storage };
const TITLES = { explore: "Explore", jobs: "Jobs", workers: "Workers", storage: "Storage" };

const content = document.getElementById("content");
const place = element("div", { id: "tab" });
const version = new Version();
const tokenForm = new TokenForm(() => loadAll());
const controls = new Controls(
  () => load(),
  () => tokenForm.open(),
);
const links = TABS.map((name) => ({ name, link: element("a", {}, [TITLES[name]]) }));
let tab = null;
let shownTab = "";
let loading = new AbortController();
let timer = 0;

function showTabs(state) {
  for (const { name, link } of links) {
    const shown = name === "explore" ? charts(state) : [];
    link.href = formatState({ ...state, tab: name, charts: shown });
    if (name === state.tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${TITLES[state.tab]} · NoETL metrics`;
}

// The charts of Explore are kept while another tab is shown.
let keptCharts = [];

function charts(state) {
  if (state.tab === "explore") keptCharts = state.charts;
  return keptCharts;
}

/** Load what the state says, and again after the interval of the refresh. */
async function load() {
  clearTimeout(timer);
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const state = currentState();
  if (state.tab !== shownTab) {
    const hadFocus = place.contains(document.activeElement);
    tab?.destroy();
    tab = new TAB_CLASSES[state.tab]();
    shownTab = state.tab;
    place.replaceChildren(tab.root);
    if (hadFocus) content.focus();
  }
  showTabs(state);
  controls.show(state);
  if (document.hidden) return; // It is loaded when it is seen.
  controls.busy(true);
  try {
    await tab.load(state, windowOf(state.range), signal);
  } finally {
    if (!signal.aborted) {
      controls.busy(false);
      // A range that has ended shows the same again.
      if (state.refresh > 0 && state.range.relative)
        timer = setTimeout(load, 1_000 * state.refresh);
    }
  }
}

/** Load also what stays when a tab is left. */
function loadAll() {
  version.load();
  load();
}

onStateChange(load);
addEventListener("hashchange", load);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) load();
});
onRefusal((error) => {
  tokenForm.open(error.message);
});
onConnectionChange((awaySince) => {
  const said = document.getElementById("connection");
  said.replaceChildren();
  if (awaySince === null) loadAll();
  else {
    const words = `The server does not answer since ${formatMoment(awaySince)}. What is shown stays, `;
    said.append(notice("error", `${words}and goes on by itself when the server is back.`));
  }
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // The fragment is the page's state.
  content.focus();
});
document.getElementById("tabs").append(...links.map(({ link }) => link));
document.getElementById("controls").append(...controls.parts);
content.append(tokenForm.root, place);
document.getElementById("bottom").append(...version.parts);
loadAll();
