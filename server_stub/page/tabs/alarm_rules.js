// The alarms of docs/operations.md: when each of them is raised, and why it matters.
//
// `grows` names counters and gauges: it is an alarm if one of them has grown in the last hour. The
// other rules get what `alarms.js` has read.

const EXPORT_LAG_SECONDS_MAX = 900;
const EXPORT_LOSS_SECONDS_MIN = 2 * 86_400;
const SERIES_RATIO_MAX = 0.5;
const BATCH_SECONDS_MAX = 2.5;
const FAILED_JOBS_MAX = 0.1;
const DISK_FREE_MIN = 0.1;
const INGEST_SHARE_NEAR = 0.8;

export const ALARMS = [
  {
    when: "GET /metrics does not answer",
    because: "the server or its database is away",
    ownPage: true,
  },
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
    when: "noetl_api_request_duration_seconds of batches is above 2.5 s",
    because: "a session has a lock on the table, or the disk is slow",
    isAbove: {
      metric: "noetl_api_request_duration_seconds",
      quantile: 0.99,
      bound: BATCH_SECONDS_MAX,
      unit: "seconds",
    },
    filters: [
      { name: "endpoint", value: "/api/metrics" },
      { name: "method", value: "POST" },
    ],
  },
  {
    when: "noetl_api_database_requests_waiting stays above 0",
    because: "more connections or a faster database are needed",
    staysAbove: { metric: "noetl_api_database_requests_waiting", bound: 0 },
  },
  {
    when: "noetl_api_ingest_bytes stays near --ingest-bytes-max",
    because: "batches come faster than they are stored",
    staysNear: {
      metric: "noetl_api_ingest_bytes",
      boundMetric: "noetl_api_ingest_bytes_max",
      share: INGEST_SHARE_NEAR,
      unit: "bytes",
    },
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
    when: "noetl_api_export_lag_seconds grows",
    because: "the time-series database takes nothing; the log says why",
    exportLagMax: EXPORT_LAG_SECONDS_MAX,
  },
  {
    when: "noetl_api_export_loss_in_seconds falls",
    because: "the same, and samples are dropped without having been exported at 0",
    exportLossMin: EXPORT_LOSS_SECONDS_MIN,
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
    when: "noetl_api_components has some that are offline",
    because: "a pool is away, or gone for good",
    isAbove: { metric: "noetl_api_components", bound: 0 },
    filters: [{ name: "state", value: "offline" }],
  },
  {
    when: "noetl_api_processes_unrecorded_total grows",
    because:
      "a component has more than 10,000 processes, or gives them a new worker_id all the time",
    grows: ["noetl_api_processes_unrecorded_total"],
  },
  {
    when: "noetl_jobs_processed_total grows more by failed jobs than it should",
    because: "more than a tenth of the jobs of a type fail",
    failedShareMax: FAILED_JOBS_MAX,
  },
  {
    when: "noetl_metrics_sdk_samples_dropped_total grows",
    because: "workers have dropped samples; the tab Workers shows the reasons",
    grows: ["noetl_metrics_sdk_samples_dropped_total"],
  },
  {
    when: "noetl_metrics_sdk_spool_available is 0",
    because: "the disk of a worker's spool takes nothing",
    spoolAvailable: "noetl_metrics_sdk_spool_available",
  },
  {
    when: "noetl_api_rows_omitted_total or noetl_api_rows_unreadable grows",
    because: "another program inserts rows that no answer can hold",
    grows: ["noetl_api_rows_omitted_total", "noetl_api_rows_unreadable"],
  },
  {
    when: "noetl_api_samples_rejected_total grows",
    because: "a client sends samples that cannot be stored; the chart below shows the reasons",
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
    when: "system_filesystem_available_bytes is small, or falls",
    because: "a disk is full, or soon will be",
    diskFreeMin: DISK_FREE_MIN,
  },
  {
    when: "the log has worker process … ended with code",
    because: "a worker was killed, often for want of memory",
    inLog: true,
  },
];
