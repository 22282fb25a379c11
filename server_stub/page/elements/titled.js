// A panel: a section of a tab under its heading.

import { element, newId } from "./element.js";

export function titled(title, ...content) {
  const id = newId("panel");
  return element("section", { class: "panel", "aria-labelledby": id }, [
    element("header", {}, [element("h3", { id }, [title])]),
    ...content,
  ]);
}
