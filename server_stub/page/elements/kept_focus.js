// The focus, where the element that has it is made anew.

/**
 * Make a part of the page anew. If the element with the focus was replaced, the focus is then at
 * the one with the same `data-focus`, or else at the next element. Nothing is scrolled.
 *
 * @param {HTMLElement} part What is made anew, and is not replaced itself.
 * @param {function()} remake Replaces elements of the part.
 * @param {HTMLElement} next Can have the focus; the part, unless given.
 */
export function keepFocus(part, remake, next = part) {
  const focused = document.activeElement;
  const hadFocus = part.contains(focused);
  remake();
  if (hadFocus && !focused.isConnected) {
    (sameAs(focused, part) ?? next).focus({ preventScroll: true });
  }
}

/** Return the element of a part that stands for one that was replaced, if there is one. */
export function sameAs(replaced, part) {
  const { focus } = replaced.dataset;
  if (focus === undefined) return undefined;
  return [...part.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === focus);
}
