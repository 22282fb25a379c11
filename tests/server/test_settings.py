"""The settings: their sources, and how invalid ones are refused."""

from __future__ import annotations

from dataclasses import fields

import pytest

from server_stub.command_line import parse_settings, unknown_variables
from server_stub.settings import DEFINITIONS, Settings


def test_flags_win_over_variables_over_defaults() -> None:
    """A flag wins over the variable of a setting, and the variable over the default."""
    assert parse_settings([], {}) == Settings()
    variables = {
        "NOETL_METRICS_SERVER_PORT": "1",
        "NOETL_METRICS_SERVER_HOST": "::1",
        "NOETL_METRICS_SERVER_MAINTENANCE_INTERVAL_SECONDS": "2.5",
    }
    assert parse_settings(["--port=0"], variables) == Settings(
        port=0, host="::1", maintenance_interval_seconds=2.5
    )


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names the flag and the variable of every setting."""
    with pytest.raises(SystemExit, match="0"):
        parse_settings(["--help"], {})
    shown = "".join(capsys.readouterr().out.split())
    for name in Settings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in shown
        assert f"NOETL_METRICS_SERVER_{name.upper()}" in shown


def test_every_setting_is_defined_with_a_help_text(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` says what each setting means, in the order of the fields."""
    assert [field.name for field in fields(Settings)] == list(DEFINITIONS)
    with pytest.raises(SystemExit, match="0"):
        parse_settings(["--help"], {})
    shown = "".join(capsys.readouterr().out.split())
    for definition in DEFINITIONS.values():
        assert definition.help_text.strip()
        assert "".join(definition.help_text.split()) in shown


@pytest.mark.parametrize(
    ("flag", "value", "right"),
    [
        ("--port", "65536", "a whole number from 0 to 65535"),
        ("--host", "", "must not be empty"),
        ("--database-url", "mysql://me:hidden@x/y", "a URL like postgresql://"),
        ("--maintenance-interval-seconds", "nan", "a number of seconds"),
        ("--exposition-lookback-seconds", "x", "a number of seconds"),
        ("--body-bytes-max", "1e6", "a whole number"),
        ("--samples-max", "0", "a whole number from 1"),
        ("--pool-size", "-1", "a whole number from 1"),
        ("--component-name", " ", "must not be empty"),
        ("--component-name", "n" * 256, "must have at most 255 characters"),
        ("--database-url", "postgresql://me:hidden@h:abc/x", "has the port 'abc': it must be"),
        ("--database-url", "postgresql://h:5432,[::1]:0/x", "has the port '0': it must be"),
        ("--database-url", "postgresql:///x?port=65536", "has the port '65536': it must be"),
        ("--database-url", "postgresql://me:hid/den@h/x", "write %3A for a colon"),
        ("--history-url", "http://a..b:8428", "a URL like http://localhost:8428"),
        ("--history-url", "http://h:8428?x=1", "without a query"),
        ("--remote-write-url", f"http://{'l' * 64}/w", "a URL like http://localhost:8428"),
    ],
)
def test_a_bad_setting_is_named(
    capsys: pytest.CaptureFixture[str], flag: str, value: str, right: str
) -> None:
    """The message names flag or variable, value and what is right; it hides a password."""
    variable = "NOETL_METRICS_SERVER_" + flag.removeprefix("--").replace("-", "_").upper()
    for arguments, variables, source in (
        ([f"{flag}={value}"], {}, flag), ([], {variable: value}, variable),
    ):  # fmt: skip
        with pytest.raises(SystemExit, match="2"):
            parse_settings(arguments, variables)
        said = capsys.readouterr().err
        assert f"{source} " in said
        assert right in said
        assert "hidden" not in said


@pytest.mark.parametrize(
    ("flag", "given", "taken"),
    [
        ("--history-url", " http://h:8428/ ", "http://h:8428"),
        ("--history-url", "http://h:8428/prometheus/api/v1/query", "http://h:8428/prometheus"),
        ("--remote-write-url", "http://h/w?extra_label=a=b\n", "http://h/w?extra_label=a=b"),
        ("--database-url", " postgresql://me:a:b@h/x", "postgresql://me:a:b@h/x"),
        ("--database-url", "postgres:///x?host=/tmp", "postgres:///x?host=/tmp"),
        (
            "--database-url",
            "postgresql://me@[::1]:5432,h,i:5433/x?port=5434,5435",
            "postgresql://me@[::1]:5432,h,i:5433/x?port=5434,5435",
        ),
    ],
)
def test_a_url_is_understood(flag: str, given: str, taken: str) -> None:
    """White space around it, and the route at the end of a query API's URL, do not matter."""
    settings = parse_settings([f"{flag}={given}"], {})
    assert taken == getattr(settings, flag.removeprefix("--").replace("-", "_"))


@pytest.mark.parametrize("flag", ["--remote-write-url", "--history-url"])
def test_credentials_of_the_time_series_database_come_from_one_place(
    capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    """A request has one Authorization, so a server that is given two is refused."""
    arguments = [f"{flag}=http://me:hidden@h", "--receiver-headers=authorization: Bearer hidden"]
    with pytest.raises(SystemExit, match="2"):
        parse_settings(arguments, {})
    said = capsys.readouterr().err
    assert f"{flag} has a user name or a password" in said
    assert "hidden" not in said


def test_variables_that_are_no_setting_are_known() -> None:
    """A variable with a mistyped name is one; another program's is none."""
    environment = {
        "NOETL_METRICS_SERVER_RETENTON_DAYS": "30",
        "NOETL_METRICS_SERVER_": "",
        "NOETL_METRICS_SERVER_PORT": "8082",
        "NOETL_METRICS_TOKEN": "x",
        "PATH": "/bin",
    }
    assert ["NOETL_METRICS_SERVER_", "NOETL_METRICS_SERVER_RETENTON_DAYS"] == unknown_variables(
        environment
    )
