// Light or dark: as the system has it, unless the user has switched.

const KEY = "noetl-metrics-theme";
const THEMES = ["light", "dark"];

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

function chosenTheme() {
  const chosen = localStorage.getItem(KEY);
  return THEMES.includes(chosen) ? chosen : null;
}

export function currentTheme() {
  return chosenTheme() ?? (systemIsDark.matches ? "dark" : "light");
}

/** Call a function after each change of the theme: a canvas has to be drawn anew. */
export function onThemeChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function show() {
  document.documentElement.dataset.theme = currentTheme();
  for (const listener of listeners) listener();
}

export function switchTheme() {
  localStorage.setItem(KEY, currentTheme() === "dark" ? "light" : "dark");
  show();
}

systemIsDark.addEventListener("change", show);
show();
