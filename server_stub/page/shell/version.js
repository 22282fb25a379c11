// The version of the server, at the foot of the page.

import { readVersion } from "../api/endpoints.js";
import { element } from "../elements/element.js";

const LINKS = [
  ["../docs", "API"],
  ["../metrics", "Page for Prometheus"],
  ["../readyz", "Readiness"],
];

export async function showVersion(footer) {
  const links = LINKS.map(([href, words]) => element("a", { href }, [words]));
  const version = element("span");
  footer.append(version, ...links);
  try {
    const answer = await readVersion();
    version.textContent = `server_stub ${answer.version}`;
  } catch {
    // What the tabs load says why the server does not answer.
  }
}
