"""httpx is loaded without its command line, and every program still gets it that asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

CLIENT = "import noetl_metrics_sdk.transport.http"
COMMAND_LINE = ["click", "pygments", "rich"]
"""The packages of httpx' own command line. The environment of the tests has them."""


def answer_of(program):
    """Run a program in a new interpreter; return its last line, which is JSON."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (result.returncode, result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def test_the_client_loads_nothing_of_the_command_line():
    """None of its packages is loaded, and no trace is left that would keep it from being loaded."""
    assert [[], False] == answer_of(f"""
        {CLIENT}
        import json, sys
        print(json.dumps([
            [name for name in {COMMAND_LINE} if name in sys.modules], "httpx._main" in sys.modules
        ]))
        """)


@pytest.mark.parametrize(
    "asking",
    ["from httpx import main", "import httpx; main = httpx.main", "from httpx import *",
     "from httpx._main import main"],
)  # fmt: skip
def test_a_program_that_asks_for_the_command_line_gets_it(asking):
    """`httpx.main` is the command as httpx exports it, in each way to ask for it."""
    loaded, module, is_command, usage = answer_of(f"""
        {CLIENT}
        {asking}
        import json, sys
        import httpx
        import click.testing
        result = click.testing.CliRunner().invoke(main, ["--help"])
        print(json.dumps([
            [name for name in {COMMAND_LINE} if name in sys.modules], httpx.main.__module__,
            main is httpx.main is vars(httpx)["main"], result.output,
        ]))
        """)
    assert (COMMAND_LINE, "httpx", True) == (loaded, module, is_command)
    assert "httpx <URL> [OPTIONS]" in usage


def test_httpx_says_what_is_missing_as_ever_without_these_packages():
    """`httpx.main` tells what to install where click is not installed."""
    printed, status = answer_of(f"""
        import sys
        sys.modules["click"] = None
        {CLIENT}
        import contextlib, httpx, io, json
        with contextlib.redirect_stdout(io.StringIO()) as output:
            try:
                httpx.main()
            except SystemExit as ending:
                status = ending.code
        print(json.dumps([output.getvalue(), status]))
        """)
    assert "pip install 'httpx[cli]'" in printed
    assert 1 == status


def test_httpx_that_was_imported_before_stays_as_it_is():
    """A program that has imported httpx itself, has its command line and the same module."""
    assert [True, True, True] == answer_of(f"""
        import httpx, json
        before, main = dict(vars(httpx)), httpx.main
        {CLIENT}
        import noetl_metrics_sdk.transport.http as http
        print(json.dumps([
            http.httpx is httpx, main is httpx.main, before == dict(vars(httpx))
        ]))
        """)


def test_a_name_that_httpx_has_not_is_an_attribute_error():
    """The error reads as Python's own."""
    assert "module 'httpx' has no attribute 'mian'" == answer_of(f"""
        {CLIENT}
        import httpx, json
        try:
            httpx.mian
        except AttributeError as error:
            print(json.dumps(str(error)))
        """)


def test_an_asynchronous_client_of_the_program_works():
    """The program's own requests by httpx are not touched: synchronous, asynchronous, by name."""
    assert [200, 201, True] == answer_of(f"""
        {CLIENT}
        import asyncio, httpx, json

        def answer(request):
            return httpx.Response(200)

        async def answer_later(request):
            return httpx.Response(201)

        async def ask():
            async with httpx.AsyncClient(transport=httpx.MockTransport(answer_later)) as client:
                return (await client.get("http://h/")).status_code

        with httpx.Client(transport=httpx.MockTransport(answer)) as client:
            status = client.get("http://h/").status_code
        print(json.dumps([
            status, asyncio.run(ask()), all(hasattr(httpx, name) for name in httpx.__all__)
        ]))
        """)
