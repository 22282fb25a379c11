// Dialogs: the browser keeps the focus in them, and Escape closes them.

import { button, element, newId } from "./element.js";
import { sameAs } from "./kept_focus.js";

/**
 * Show a dialog until it is closed.
 *
 * @param {string} title Its heading.
 * @param {Array<Node>} content What it shows.
 * @param {function(function): Array<Node>} actions Returns its buttons; gets what closes it.
 */
export function showDialog(title, content, actions = () => []) {
  const headingId = newId("dialog");
  const dialog = element("dialog", { "aria-labelledby": headingId });
  const close = () => dialog.close();
  dialog.append(
    element("h2", { id: headingId }, [title]),
    ...content,
    element("div", { class: "actions" }, [...actions(close), button("Close", close)]),
  );
  const opener = document.activeElement;
  const part = opener.closest("[role=group]");
  dialog.addEventListener("close", () => {
    dialog.remove();
    // The browser gives the focus back, unless a reload has replaced what had it.
    if (opener.isConnected || part === null) return;
    (sameAs(opener, part) ?? part).focus({ preventScroll: true });
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
