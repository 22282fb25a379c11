"""The settings and the cursor: pure, and fuzzed."""

from __future__ import annotations

import base64
import struct
from dataclasses import fields
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.command_line import parse_settings
from server_stub.errors import ParameterInvalidError
from server_stub.query.cursor import Position, decode_cursor, encode_cursor
from server_stub.settings import DEFINITIONS, Settings


@given(
    st.builds(Position, st.datetimes(timezones=st.just(UTC)), st.integers(1, 2**63 - 1)),
    st.dictionaries(st.text(), st.text()),
)
def test_a_cursor_comes_back(position: Position, query: dict[str, str]) -> None:
    """A cursor is the position that it was made of, for the same query."""
    assert decode_cursor(encode_cursor(position, query), query) == position


def test_a_cursor_of_no_point_in_time_is_refused() -> None:
    """Even the digest of the right query does not make a time of any number."""
    genuine = encode_cursor(Position(datetime(9999, 12, 31, tzinfo=UTC), 1), {})
    packed = base64.urlsafe_b64decode(genuine + "=")
    altered = struct.pack(">q", 2**63 - 1) + packed[8:]
    forged = base64.urlsafe_b64encode(altered).rstrip(b"=").decode()
    with pytest.raises(ParameterInvalidError, match="is not valid"):
        decode_cursor(forged, {})


@given(st.text(st.characters()))
def test_any_text_is_no_cursor(text: str) -> None:
    """What this server has not made is refused."""
    with pytest.raises(ParameterInvalidError):
        decode_cursor(text, {})


def test_flags_win_over_variables_over_defaults() -> None:
    """Every setting has a flag and a variable."""
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
    """The message names flag or variable, value and what is right; a password stays hidden."""
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
