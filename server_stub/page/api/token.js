// The token: kept for this browser tab only, and sent in a header, never in a URL.

const KEY = "noetl-metrics-token";

export function readToken() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Keep a token, or forget it if the text is empty. */
export function keepToken(token) {
  if (token === "") sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
}

/** Return what is wrong with a text as a token, or an empty text. */
export function tokenProblem(token) {
  if (token === "") return "Enter a token, or the server answers nothing.";
  // Anything else cannot be in a header.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    return "A token has no spaces and only ASCII characters, like the line that tokens new prints.";
  }
  return "";
}

const listeners = new Set();

/** Call a function with the error of each request that wants a token, or another one. */
export function onRefusal(listener) {
  listeners.add(listener);
}

export function noteRefusal(error) {
  for (const listener of listeners) listener(error);
}
