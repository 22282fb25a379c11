// A text field with suggestions from the server, used by mouse or keyboard (ARIA's combobox).

import { cut, element, newId } from "./element.js";

const TYPING_MILLISECONDS = 120;

/**
 * Return a field that suggests.
 *
 * @param {Object} options
 * @param {string} options.label Its name for a screen reader.
 * @param {string} options.value The text in it.
 * @param {function(string, AbortSignal): Promise} options.find Returns `{items, truncated}` for what
 *     was typed; an item is `{value, detail, hint}`.
 * @param {function(Object)} options.onchoose Gets the item that was chosen.
 */
export function combobox({ label, value, placeholder, find, onchoose }) {
  const listId = newId("suggestions");
  const input = element("input", {
    type: "text",
    role: "combobox",
    value,
    placeholder,
    "aria-label": label,
    autocomplete: "off",
    spellcheck: "false",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": listId,
    dir: "auto",
  });
  const list = element("div", { id: listId, role: "listbox", "aria-label": label, hidden: true });
  const note = element("div", { class: "suggestion-note", role: "status" });
  // The field would lose the focus before a click came, or while the list is scrolled.
  const stay = (event) => event.preventDefault();
  const popup = element("div", { class: "suggestions", hidden: true, onmousedown: stay }, [
    list,
    note,
  ]);
  let items = [];
  let active = -1;
  let isLeft = true;
  let searching = null;
  let timer = 0;

  function close() {
    clearTimeout(timer);
    searching?.abort();
    popup.hidden = list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  }

  function activate(index) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = Math.max(-1, Math.min(index, items.length - 1));
    const option = list.children[active];
    if (!option) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  }

  function choose(item) {
    input.value = item.value;
    close();
    onchoose(item);
  }

  function show(found) {
    items = found.items;
    active = -1;
    list.replaceChildren(
      ...items.map((item, index) => suggestion(item, () => choose(items[index]))),
    );
    note.textContent = noteOn(found);
    popup.hidden = false;
    list.hidden = items.length === 0;
    input.setAttribute("aria-expanded", String(items.length > 0));
  }

  async function search(text) {
    searching?.abort();
    searching = new AbortController();
    const { signal } = searching;
    try {
      const found = await find(text, signal);
      if (!signal.aborted && document.activeElement === input) show(found);
    } catch (error) {
      if (!signal.aborted) show({ items: [], truncated: false, problem: error.message });
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => search(input.value), TYPING_MILLISECONDS);
  });
  input.addEventListener("focus", () => {
    // Who comes back from another window types on.
    if (isLeft) input.select();
    search(isLeft ? "" : input.value);
  });
  input.addEventListener("blur", () => {
    isLeft = document.activeElement !== input;
    close();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && popup.hidden) search(input.value);
    else if (event.key === "ArrowDown") activate(active + 1);
    else if (event.key === "ArrowUp") activate(active - 1);
    else if (event.key === "Escape" && !popup.hidden) close();
    else if (event.key === "Enter") {
      const exact = items.find((item) => item.value === input.value);
      const chosen = items[active] ?? exact ?? { value: input.value };
      if (chosen.value !== "") choose(chosen);
    } else return;
    event.preventDefault();
  });
  return element("div", { class: "combobox" }, [input, popup]);
}

function suggestion(item, onchoose) {
  const option = element(
    "div",
    { id: newId("suggestion"), role: "option", "aria-selected": "false" },
    [
      cut(item.value === "" ? "(empty)" : item.value, { class: "cut value" }),
      item.detail ? element("span", { class: "detail" }, [item.detail]) : null,
      item.hint ? element("span", { class: "hint" }, [item.hint]) : null,
    ],
  );
  option.addEventListener("mousedown", onchoose);
  return option;
}

function noteOn({ items, truncated, problem }) {
  if (problem) return problem;
  if (items.length === 0) return "Nothing has this in its name.";
  return truncated ? `The first ${items.length} are shown: type on to find others.` : "";
}
