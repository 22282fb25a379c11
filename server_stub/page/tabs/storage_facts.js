// What is to say of the partitions and the export: names and values of a list.

import { formatDuration, formatMoment, formatNumber } from "../charts/numbers.js";
import { element } from "../elements/element.js";
import { stateMark } from "../elements/state_mark.js";

function facts(pairs) {
  return pairs.map(([name, value]) =>
    element("div", {}, [element("dt", {}, [name]), element("dd", {}, [value])]),
  );
}

/** Return the list's elements of an answer of `GET /api/metrics/partitions`. */
export function partitionFacts(stored) {
  const pairs = [
    [
      "in all",
      `${formatNumber(stored.bytes, "bytes")}, about ${formatNumber(stored.rows_estimated)} rows`,
    ],
    ["made ahead", `${stored.days_ahead} days`],
  ];
  if (stored.missing.length > 0)
    pairs.push(["missing", stateMark("bad", stored.missing.join(", "))]);
  if (stored.detaching.length > 0) {
    pairs.push(["being detached", stateMark("warn", stored.detaching.join(", "))]);
  }
  return facts(pairs);
}

/** Return the list's elements of an answer of `GET /api/metrics/export`. */
export function exportFacts(exported) {
  if (!exported.configured) {
    return facts([["state", "This server does not export: --remote-write-url is not given."]]);
  }
  const duration = (seconds) => (seconds === null ? "–" : formatDuration(seconds));
  const pairs = [
    ["state", exported.failing ? stateMark("bad", "failing") : stateMark("good", "working")],
    ["lag", duration(exported.lag_seconds)],
    ["rows that wait", formatNumber(exported.rows_waiting)],
    [
      "loss of samples",
      exported.loss_in_seconds === null
        ? "none to come"
        : `in ${duration(exported.loss_in_seconds)}`,
    ],
    ["partitions wait for it", duration(exported.hold_seconds)],
  ];
  if (exported.last_error) {
    const at = exported.last_error_at ? ` (${formatMoment(new Date(exported.last_error_at))})` : "";
    pairs.push(["last error", `${exported.last_error}${at}`]);
  }
  return facts(pairs);
}
