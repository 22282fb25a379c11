"""The command `noetl-metrics`, with its subcommands."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click

import noetl_metrics_sdk
from noetl_metrics_cli.commands.chart import chart
from noetl_metrics_cli.commands.completion import completion
from noetl_metrics_cli.commands.components import components
from noetl_metrics_cli.commands.doctor import doctor
from noetl_metrics_cli.commands.export_samples import export_samples
from noetl_metrics_cli.commands.import_samples import import_samples
from noetl_metrics_cli.commands.migrate import migrate
from noetl_metrics_cli.commands.query import query
from noetl_metrics_cli.commands.serve import serve
from noetl_metrics_cli.commands.tail import tail
from noetl_metrics_cli.commands.token import token
from noetl_metrics_cli.commands.top import top


def installed_version() -> str:
    """Return the version that is installed, and whether its hot path is compiled."""
    build = "compiled" if noetl_metrics_sdk.COMPILED else "interpreted"
    try:
        return f"{version('noetl-metrics-sdk')} ({build})"
    except PackageNotFoundError:  # run from a folder of the sources
        return f"not installed ({build})"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(installed_version(), message="%(prog)s %(version)s")
def noetl_metrics() -> None:
    """Run a metrics server of NoETL, ask it, and find out what is wrong with it.

    NOETL_SERVER_URL names the server, and NOETL_METRICS_TOKEN has the token, as for a worker.
    """


for _command in (
    serve, query, chart, top, tail, components, export_samples, import_samples, doctor, token,
    migrate, completion,
):  # fmt: skip
    noetl_metrics.add_command(_command)
