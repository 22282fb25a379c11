// Elements of a page. All texts become text nodes, never HTML.

// Returns an element with attributes and children; strings become text, and null nothing.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

// Returns the parts of a text; those in backticks are code.
export function prose(text) {
  return text
    .split("`")
    .map((part, place) => (place % 2 === 1 ? element("code", {}, part) : part));
}

export function paragraphs(text) {
  return text.split(/\n\s*\n/).map((one) => element("p", {}, prose(one.replaceAll("\n", " "))));
}

// Returns a table in a box that can be scrolled, also by keys.
export function table(heads, rows) {
  const head = element("tr", {}, heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map((cells) => element("tr", {}, cells.map((cell) => element("td", {}, cell))));
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": heads.join(", ") },
    element("table", {}, element("thead", {}, head), element("tbody", {}, body)),
  );
}

export function preformatted(text) {
  return element("pre", { tabindex: "0" }, element("code", {}, text));
}
