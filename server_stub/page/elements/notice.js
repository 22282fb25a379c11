// Notices: what is loading, empty, refused or old, in words.

import { element } from "./element.js";

/**
 * Return a notice.
 *
 * @param {"loading" | "empty" | "error" | "note"} kind How it looks, and whether it is urgent.
 * @param {string} text What it says.
 */
export function notice(kind, text) {
  return element("p", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" }, [
    text,
  ]);
}

/** Return what an operator reads of an error, and of what is shown meanwhile. */
export function errorNotice(error, shownSince) {
  const since = shownSince ? ` What is shown is from ${shownSince.toLocaleTimeString()}.` : "";
  return notice("error", `${error.message}${since}`);
}
