-- What wrk sends: the same batch again and again, each time under a name of its own. Usage:
--   wrk ... -s ingest.lua URL -- BODY_FILE RUN
-- Prints at its end how many answers had which status, as one line of JSON.

local threads = {}
local made = 0

function setup(thread)
  made = made + 1
  thread:set("number", made)
  table.insert(threads, thread)
end

function init(arguments)
  local file = io.open(arguments[1], "rb")
  body = file:read("*a")
  file:close()
  run = arguments[2]
  sent = 0
  statuses = ""
  counted = {}
end

function request()
  sent = sent + 1
  local headers = {
    ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = run .. "-" .. number .. "-" .. sent .. ":1",
  }
  return wrk.format("POST", nil, headers, body)
end

function response(status, headers, answer)
  counted[status] = (counted[status] or 0) + 1
  -- Only simple values can be read by done().
  statuses = ""
  for known, count in pairs(counted) do
    statuses = statuses .. known .. "=" .. count .. ","
  end
  if status == 503 and headers["retry-after"] == nil and headers["Retry-After"] == nil then
    statuses = statuses .. "without-retry-after=1,"
  end
end

function done(summary, latency, requests)
  local parts = {}
  for _, thread in ipairs(threads) do
    table.insert(parts, '"' .. thread:get("statuses") .. '"')
  end
  local errors = summary.errors
  io.write(string.format(
    '{"statuses": [%s], "connect": %d, "read": %d, "write": %d, "timeout": %d, "p99_seconds": %f}\n',
    table.concat(parts, ", "), errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(99) / 1e6
  ))
end
