// Shows what stands behind a chart, to be copied.

import { readToken } from "../api/token.js";
import { asCurl, asPromQL, asSQL } from "../charts/query_texts.js";
import { showDialog } from "../elements/dialog.js";
import { button, element } from "../elements/element.js";

const WORDS = {
  curl: "This command gets the same points. A token is read from the environment.",
  PromQL:
    "For a Prometheus that scrapes the server, or VictoriaMetrics behind the export. Prometheus " +
    "extrapolates increases, and this server does not.",
  SQL: "For the server's PostgreSQL. sum here leaves out series without a sample in a bucket.",
};

function textOf(language, chart, window) {
  if (language === "curl") return asCurl(chart, window, readToken() !== "");
  return language === "PromQL" ? asPromQL(chart, window) : asSQL(chart, window);
}

export function showSource(language, chart, window) {
  const text = textOf(language, chart, window);
  const area = element("textarea", {
    readonly: true,
    rows: Math.min(24, text.split("\n").length + 1),
    "aria-label": language,
    spellcheck: "false",
    wrap: language === "PromQL" ? "soft" : "off",
  });
  area.value = text;
  const said = element("p", { class: "help", role: "status" }, [WORDS[language]]);
  const copy = async () => {
    said.textContent = (await copied(area)) ? "Copied." : "Copy the selected text by the keyboard.";
  };
  showDialog(`The chart as ${language}`, [area, said], () => [button("Copy", copy)]);
  area.select();
}

async function copied(area) {
  area.select();
  try {
    // Only pages over TLS, or of this machine, have a clipboard.
    await navigator.clipboard.writeText(area.value);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
