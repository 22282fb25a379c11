"""The settings: their sources, and how invalid ones are refused."""

from __future__ import annotations

from dataclasses import fields

import pytest

from server_stub.command_line import parse_settings
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
