// The alarms of docs/operations.md: when each of them is raised, and why it matters.
//
// `grows` names counters and gauges: it is an alarm if one of them has grown in the last hour. The
// other rules get what `alarms.js` has read.

const EXPORT_LAG_SECONDS_MAX = 900;
const EXPORT_LOSS_SECONDS_MIN = 2 * 86_400;
const SERIES_RATIO_MAX = 0.5;
// The default of --ingest-bytes-max, of which four fifths are near it.
const INGEST_BYTES_NEAR = 0.8 * 256 * 2 ** 20;

export const ALARMS = [
  {
    when: "GET /readyz is not 200",
    because:
      "the database is away or takes no writes, or today's or tomorrow's partition is missing",
    readiness: true,
  },
  {
    when: "noetl_api_maintenance_failures_total grows for an hour",
    because: "partitions are neither made nor dropped",
    growsAllHour: "noetl_api_maintenance_failures_total",
  },
  {
    when: "noetl_api_requests_total with status 503 grows",
    because: "the database is slow, locked or full; the log says which",
    grows: ["noetl_api_requests_total"],
    filters: [{ name: "status", value: "503" }],
  },
  {
    when: "noetl_api_database_requests_waiting stays above 0",
    because: "more connections or a faster database are needed",
    staysAbove: { metric: "noetl_api_database_requests_waiting", bound: 0 },
  },
  {
    when: "noetl_api_ingest_bytes stays near --ingest-bytes-max",
    because: "batches come faster than they are stored (looked at with the default, 256 MiB)",
    staysAbove: { metric: "noetl_api_ingest_bytes", bound: INGEST_BYTES_NEAR, unit: "bytes" },
  },
  {
    when: "noetl_api_process_series_ratio is above 0.5",
    because: "a process makes ever new series, most likely by one label; at 1 they are rejected",
    isAbove: { metric: "noetl_api_process_series_ratio", bound: SERIES_RATIO_MAX },
  },
  {
    when: "noetl_api_export_out_of_bounds_total grows",
    because:
      "the time-series database has a sample of the future, or takes nothing as old as what waits",
    grows: ["noetl_api_export_out_of_bounds_total"],
  },
  {
    when: "noetl_api_export_lag_seconds grows, noetl_api_export_loss_in_seconds falls",
    because: "the time-series database takes nothing; the log says why",
    exportBounds: { lagMax: EXPORT_LAG_SECONDS_MAX, lossMin: EXPORT_LOSS_SECONDS_MIN },
  },
  {
    when: "noetl_api_export_samples_dropped_total grows",
    because: "the receiver refuses samples, or names and times do not fit the protocol",
    grows: ["noetl_api_export_samples_dropped_total"],
  },
  {
    when: "noetl_api_processes_lost_total grows",
    because: "workers were killed, or cannot reach the server",
    grows: ["noetl_api_processes_lost_total"],
  },
  {
    when: "noetl_api_processes_unrecorded_total grows",
    because:
      "a component has more than 10,000 processes, or gives them a new worker_id all the time",
    grows: ["noetl_api_processes_unrecorded_total"],
  },
  {
    when: "noetl_api_rows_omitted_total or noetl_api_rows_unreadable grows",
    because: "another program inserts rows that no answer can hold",
    grows: ["noetl_api_rows_omitted_total", "noetl_api_rows_unreadable"],
  },
  {
    when: "noetl_api_samples_rejected_total grows",
    because: "a client sends samples that cannot be stored; its answers say which",
    grows: ["noetl_api_samples_rejected_total"],
  },
  {
    when: "the log has worker process … was silent for",
    because: "a worker was stopped or hung, and was replaced",
    inLog: true,
  },
  {
    when: "noetl_api_exposition_series_omitted_total grows",
    because: "series are missing on pages for Prometheus: not whole, or more than fit",
    grows: ["noetl_api_exposition_series_omitted_total"],
  },
  {
    when: "the log has worker process … ended with code",
    because: "a worker was killed, often for want of memory",
    inLog: true,
  },
];
