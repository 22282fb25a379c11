"""A worker as NoETL has them: it leases commands, and runs the tool that each of them names.

The settings come from NoETL's own variables. Start a server with `python -m server_stub`, then
`NOETL_SERVER_URL=http://localhost:8082 python examples/noetl_worker.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from noetl_metrics_sdk import Counter, Gauge, MetricsClient, track_job

COMMANDS_WAITING = Gauge("example_noetl_commands_waiting", "Commands that wait to be leased")
ROWS = Counter("example_noetl_rows", "Rows that tools have returned", ["tool"])

Command = dict[str, Any]

COMMANDS: deque[Command] = deque(
    [{"step": f"load_{number}", "tool": "postgres", "rows": 100} for number in range(6)]
    + [{"step": f"fetch_{number}", "tool": "http", "rows": 1} for number in range(3)]
    + [{"step": "fetch_gone", "tool": "http", "error": "404"}]
)


async def lease() -> Command | None:
    """Return the next command; a NoETL worker is told of it by NATS, and claims it."""
    COMMANDS_WAITING.set(max(0, len(COMMANDS) - 1))
    return COMMANDS.popleft() if COMMANDS else None


async def run_tool(command: Command) -> dict[str, Any]:
    """Return what NoETL's tools return: they do not raise when something goes wrong."""
    await asyncio.sleep(0.001)
    if "error" in command:
        return {"status": "error", "error": command["error"]}
    return {"status": "success", "rows": command["rows"]}


async def execute(command: Command) -> dict[str, Any]:
    """Run one command, and measure it; return what its tool returned."""
    async with track_job(job_type=command["tool"]) as job:
        result = await run_tool(command)
        if result["status"] == "error":
            job.fail("ToolError")  # the job has failed, though its tool has only returned
        else:
            ROWS.labels(command["tool"]).inc(result["rows"])
    return result


async def work() -> tuple[int, int]:
    """Run commands until none is left; return how many were completed, and how many failed."""
    completed = failed = 0
    while (command := await lease()) is not None:
        result = await execute(command)
        if result["status"] == "error":
            print("command.failed", command["step"], result["error"])
            failed += 1
        else:
            completed += 1
    return completed, failed


async def main() -> None:
    """Run the worker, and report what it did."""
    client = MetricsClient.from_env().start()
    completed, failed = await work()
    print(f"{completed} commands completed, {failed} failed")
    print(await client.aclose())


if __name__ == "__main__":
    asyncio.run(main())
