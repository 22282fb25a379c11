// The colours of series: each stands out from its background at 3:1 and more, in its theme.

import { currentTheme } from "../state/theme.js";

const PALETTES = {
  light: [
    "#1f6fb2",
    "#b4540a",
    "#1a7f4b",
    "#a3307f",
    "#6b5bd2",
    "#8a6d00",
    "#c0362c",
    "#0b7d8c",
    "#5c6b7a",
    "#7a4a1e",
  ],
  dark: [
    "#6cb2f5",
    "#f2a04a",
    "#5fcf8f",
    "#f088cc",
    "#a99bff",
    "#e0c34c",
    "#ff8478",
    "#4fd0e0",
    "#a9b8c7",
    "#d3a06d",
  ],
};

export function seriesColour(index) {
  const palette = PALETTES[currentTheme()];
  return palette[index % palette.length];
}

/** Return a colour of the style, for what is drawn on a canvas. */
export function styleColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
