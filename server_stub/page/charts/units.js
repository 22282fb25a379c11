// The unit of what a chart shows, which may be another one than its metric's.

const KNOWN = ["seconds", "bytes", "percent"];

/** Return the unit of a metric's values as an aggregation makes them. */
export function unitShown(unit, aggregation, metricName) {
  const own = unit || KNOWN.find((each) => metricName.includes(`_${each}`)) || "";
  if (aggregation === "count") return "";
  // A histogram's buckets and counts count observations, and its unit is that of the observed.
  if (/_(bucket|count)$/.test(metricName) && aggregation !== "quantile") return "";
  if (aggregation !== "rate") return own;
  return own === "bytes" ? "bytes/s" : "";
}
