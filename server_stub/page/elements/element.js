// Elements of the document. Texts become text nodes: nothing that the server sends is read as HTML.

/**
 * Return a new element.
 *
 * @param {string} tag Its name.
 * @param {Object} properties Attributes; `on…` are listeners, and true or false set or omit one.
 * @param {Array<Node | string | null>} children Nodes and texts; null is left out.
 */
export function element(tag, properties = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      made.setAttribute(name, value);
    }
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

let lastId = 0;

/** Return an id that no other element has. */
export function newId(purpose) {
  lastId += 1;
  return `${purpose}-${lastId}`;
}

export function button(text, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, [text]);
}

/** Return a control with its visible label. */
export function labelled(text, control) {
  return element("label", { class: "field" }, [element("span", {}, [text]), control]);
}

/** Return a choice from pairs of a value and its words. */
export function choice(pairs, chosen, onchange, properties = {}) {
  const made = element("select", properties, options(pairs, chosen));
  made.addEventListener("change", () => onchange(made.value));
  return made;
}

/** Return what a choice offers, from pairs of a value and its words. */
export function options(pairs, chosen) {
  return pairs.map(([value, words]) =>
    element("option", { value, selected: String(value) === String(chosen) }, [words]),
  );
}

/** Return a text that is cut by the style where there is no room, and is whole in its title. */
export function cut(text, properties = {}) {
  return element("span", { class: "cut", dir: "auto", title: text, ...properties }, [text]);
}
