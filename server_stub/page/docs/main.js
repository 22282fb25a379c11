// The page /docs: it shows the server's own openapi.json.

import { element } from "./elements.js";
import { routeElement } from "./route.js";

const DESCRIPTION = "openapi.json"; // relative to /docs: a proxy may have put a prefix before it

// Returns the routes by their tags, in the order of the description.
function routesByTag(description) {
  const byTag = new Map();
  for (const [path, operations] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? "others";
      const route = { id: `${method}-${path}`, method, path, operation };
      byTag.set(tag, [...(byTag.get(tag) ?? []), route]);
    }
  }
  return byTag;
}

function show(description) {
  const schemas = description.components?.schemas ?? {};
  const { title, summary, version } = description.info;
  document.getElementById("about").textContent = `${title} ${version}. ${summary ?? ""}.`;
  const main = document.getElementById("routes");
  const nav = document.getElementById("contents");
  const rows = [];
  for (const [tag, routes] of routesByTag(description)) {
    const list = element("ul", {});
    const section = element("section", {}, element("h2", {}, tag));
    for (const route of routes) {
      const shown = routeElement(route, schemas);
      const text = `${route.method.toUpperCase()} ${route.path}`;
      const link = element("li", {}, element("a", { href: `#${encodeURIComponent(route.id)}` }, text));
      rows.push({ text: `${text} ${route.operation.summary ?? ""}`.toLowerCase(), parts: [shown, link] });
      section.append(shown);
      list.append(link);
    }
    main.append(section);
    nav.append(element("h2", {}, tag), list);
  }
  filterBy(rows);
  openTarget();
  addEventListener("hashchange", openTarget);
}

// Shows the routes that have every word of the filter.
function filterBy(rows) {
  const input = document.getElementById("filter");
  const state = document.getElementById("state");
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const { text, parts } of rows) {
      const fits = words.every((word) => text.includes(word));
      count += fits ? 1 : 0;
      for (const part of parts) {
        part.hidden = !fits;
      }
    }
    state.textContent = `${count} of ${rows.length} routes`;
  };
  input.addEventListener("input", filter);
  filter();
}

// Opens the route that the address names, and moves there.
function openTarget() {
  const named = location.hash.slice(1);
  const target = [...document.querySelectorAll("details.route")].find(
    (route) => encodeURIComponent(route.id) === named,
  );
  if (target !== undefined) {
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus();
  }
}

async function load() {
  const answer = await fetch(DESCRIPTION);
  if (!answer.ok) {
    throw new Error(`${answer.status} ${answer.statusText}`);
  }
  show(await answer.json());
}

load().catch((error) => {
  document.getElementById("state").textContent =
    `${DESCRIPTION} cannot be read: ${error.message}. Reload the page to try again.`;
});
