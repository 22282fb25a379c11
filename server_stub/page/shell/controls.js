// The controls that all tabs share: the range, the refresh, the theme, the token.

import { button, choice, element, labelled } from "../elements/element.js";
import { REFRESH_SECONDS, changeState, currentState } from "../state/location.js";
import { RANGES, asLocalInput, windowOf } from "../state/time_range.js";
import { currentTheme, onThemeChange, switchTheme } from "../state/theme.js";

const ABSOLUTE = "absolute";
const REFRESHES = REFRESH_SECONDS.map((seconds) => [
  seconds,
  seconds === 0 ? "off" : seconds < 60 ? `${seconds} s` : `${seconds / 60} min`,
]);

export class Controls {
  /**
   * @param {function()} reload Loads the tab now.
   * @param {function()} openToken Shows the form for the token.
   */
  constructor(reload, openToken) {
    this.range = choice([...RANGES, [ABSOLUTE, "from … to …"]], "", (value) =>
      this.chooseRange(value),
    );
    this.from = element("input", { type: "datetime-local", step: "1" });
    this.to = element("input", { type: "datetime-local", step: "1" });
    for (const input of [this.from, this.to]) {
      input.addEventListener("change", () => this.chooseMoments());
    }
    this.said = element("span", { role: "status" });
    this.absolute = element(
      "form",
      { class: "absolute", onsubmit: (event) => event.preventDefault() },
      [labelled("From", this.from), labelled("To", this.to), this.said],
    );
    this.absolute.addEventListener("focusout", ({ relatedTarget }) => {
      if (!this.absolute.contains(relatedTarget)) this.hasTyped = false;
    });
    this.shownRange = null;
    this.hasTyped = false;
    this.refresh = choice(REFRESHES, 30, (value) => changeState({ refresh: Number(value) }));
    this.reload = button("Reload", reload);
    this.theme = button("", switchTheme);
    onThemeChange(() => this.showTheme());
    this.showTheme();
    this.parts = [
      labelled("Range", this.range),
      this.absolute,
      labelled("Refresh", this.refresh),
      this.reload,
      this.theme,
      button("Token", openToken),
    ];
  }

  chooseRange(value) {
    if (value !== ABSOLUTE) changeState({ range: { relative: value } });
    else {
      const { start, end } = windowOf(currentState().range);
      changeState({ range: { start: Math.floor(start), end: Math.ceil(end) } });
      this.from.focus();
      this.hasTyped = true;
    }
  }

  /** Take the times that are typed; a field has none while a part of one is. */
  chooseMoments() {
    const start = new Date(this.from.value) / 1_000;
    const end = new Date(this.to.value) / 1_000;
    this.say(start >= end ? "The end has to be after the start." : "");
    if (!(start < end)) return;
    const range = { start, end };
    this.shownRange = range;
    // However many keys a range takes, Back undoes it at once.
    changeState({ range }, { replaces: this.hasTyped });
    this.hasTyped = true;
  }

  say(mistake) {
    this.said.textContent = mistake;
    this.to.setCustomValidity(mistake);
  }

  show({ range, refresh }) {
    const { relative } = range;
    if (relative && !RANGES.some(([value]) => value === relative)) this.offer(relative);
    this.range.value = relative ?? ABSOLUTE;
    this.absolute.hidden = Boolean(relative);
    // What a user types stays, unless the range has become another one.
    const isAnother = JSON.stringify(range) !== JSON.stringify(this.shownRange);
    const isTyped = !isAnother && this.absolute.contains(document.activeElement);
    this.shownRange = range;
    if (isAnother) this.hasTyped = false;
    if (!relative && !isTyped) {
      this.from.value = asLocalInput(range.start);
      this.to.value = asLocalInput(range.end);
      this.say("");
    }
    this.refresh.value = String(refresh);
  }

  offer(relative) {
    if ([...this.range.options].some(({ value }) => value === relative)) return;
    this.range.append(element("option", { value: relative }, [relative]));
  }

  showTheme() {
    this.theme.textContent = currentTheme() === "dark" ? "Light" : "Dark";
    this.theme.title = "Switch the colours";
  }

  busy(isBusy) {
    this.reload.setAttribute("aria-busy", String(isBusy));
  }
}
