// A state as a word with a mark: its shape says it too, for those who do not see the colour.

import { element } from "./element.js";

const MARKS = { good: "●", warn: "▲", bad: "■", quiet: "○" };

/** Return a state; `looks` is good, warn, bad or quiet. */
export function stateMark(looks, word) {
  return element("span", { class: `state ${looks}` }, [
    element("span", { "aria-hidden": "true" }, [MARKS[looks]]),
    ` ${word}`,
  ]);
}
