// The focus, where the element that has it is made anew.

/**
 * Make a part of the page anew. If the element with the focus was replaced, the focus is then at
 * the one with the same `data-focus`, or else at the part itself. Nothing is scrolled.
 *
 * @param {HTMLElement} part Can have the focus, and is not replaced.
 * @param {function()} remake Replaces elements of the part.
 */
export function keepFocus(part, remake) {
  const focused = document.activeElement;
  const hadFocus = part.contains(focused);
  remake();
  if (hadFocus && !focused.isConnected) {
    (sameAs(focused, part) ?? part).focus({ preventScroll: true });
  }
}

/** Return the element of a part that stands for one that was replaced, if there is one. */
export function sameAs(replaced, part) {
  const { focus } = replaced.dataset;
  if (focus === undefined) return undefined;
  return [...part.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === focus);
}
