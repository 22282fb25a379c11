// The version of the server, at the foot of the page.

import { readVersion } from "../api/endpoints.js";
import { element } from "../elements/element.js";

const LINKS = [
  ["../docs", "API"],
  ["../metrics", "Page for Prometheus"],
  ["../readyz", "Readiness"],
];

export class Version {
  constructor() {
    this.shown = element("span");
    this.parts = [
      this.shown,
      ...LINKS.map(([href, words]) => element("a", { href }, [words])),
    ];
  }

  /** Ask the server, which may want a token first, and may come back as another version. */
  async load() {
    try {
      const answer = await readVersion();
      this.shown.textContent = `server_stub ${answer.version}`;
    } catch {
      // What the tabs load says why the server does not answer.
    }
  }
}
