"""Tokens: their file, the command that makes them, and changes of the file under a server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from noetl_metrics_sdk.testing import ManualClock
from server_stub.auth.token_source import CHECK_SECONDS, TokenSource
from server_stub.auth.tokens import (
    BoundComponent,
    Scope,
    Token,
    find_token,
    hash_token,
    make_token,
    parse_tokens,
)
from server_stub.errors import StartupError
from server_stub.settings import Settings
from server_stub.tokens import main

if TYPE_CHECKING:
    from pathlib import Path

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

HASH = hash_token("secret").hex()
LINE = f"reader read sha256:{HASH}"


def test_a_token_that_is_made_is_the_one_that_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a token and a line; with the line, a server accepts that token only."""
    assert 0 == main(["new", "cpu", "--scope=write", "--runtime=worker_pool/my pool"])
    secret, line = capsys.readouterr().out.splitlines()
    assert secret not in line
    (token,) = parse_tokens(line)
    assert Token("cpu", frozenset({Scope.WRITE}), hash_token(secret), token.bound_to) == token
    assert BoundComponent("worker_pool", "my pool") == token.bound_to
    assert find_token(secret, [token]) is token
    assert find_token(secret[:-1], [token]) is None


def test_two_tokens_are_never_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Each token is 256 random bits, which take 43 characters."""
    for _ in range(2):
        main(["new", "reader", "--scope=read"])
    first, _, second, _ = capsys.readouterr().out.splitlines()
    assert first != second
    assert [43, 43] == [len(first), len(second)]


def test_a_line_is_appended_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Existing lines stay, even without a line end at the last one; a taken name is refused."""
    path = tmp_path / "tokens"
    path.write_text("# by hand\n" + LINE)
    assert 0 == main(["new", "second", "--scope=read", "--scope=write", f"--append={path}"])
    secret = capsys.readouterr().out.strip()
    first, second = parse_tokens(path.read_text())
    assert "reader" == first.name
    assert make_token("second", ["write", "read"], hash_token(secret)) == second
    before = path.read_text()
    with pytest.raises(SystemExit):
        main(["new", "second", "--scope=read", f"--append={path}"])
    assert "line 4: the name 'second' is taken" in capsys.readouterr().err
    assert before == path.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no token"),
        ("# only this\n\n", "there is no token"),
        ("secret", "line 1: it must be NAME SCOPE"),
        ("\nreader read secret", "line 2: the third field must be sha256: and 64 digits"),
        (f"reader read sha256:{HASH.upper()}", "the third field must be sha256:"),
        (f"reader look sha256:{HASH}", "a scope must be one of write, read, admin"),
        (f"re/ader read sha256:{HASH}", "the name must be 1 to 64 letters"),
        (f"{LINE}\n{LINE}", "line 2: the name 'reader' is taken"),
        (f"{LINE} cpu-01", "the fourth field must be runtime=KIND/NAME"),
        (f"{LINE} runtime=pool/cpu-01", "the runtime 'pool/cpu-01' must be KIND/NAME"),
        (f"{LINE} runtime=worker_pool/", "must be KIND/NAME, like worker_pool/cpu-01"),
        (f"a admin sha256:{HASH} runtime=worker_pool/x", "the scope admin may do everything"),
    ],
)
def test_a_bad_line_is_named_and_not_shown(text: str, message: str) -> None:
    """The message says what is right and does not show the line, as it may have a token."""
    with pytest.raises(ValueError, match=message) as caught:
        parse_tokens(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "a b", "--scope=read"], "the name must be 1 to 64 letters"),
        (["new", "a", "--scope=write", "--runtime=cpu"], "must be KIND/NAME"),
        (["new", "a", "--scope=write", "--runtime=broker/a\nb"], "without line breaks"),
        (["new", "a", "--scope=read", "--append=/nowhere/tokens"], "/nowhere/tokens"),
    ],
)
def test_a_token_that_has_no_line_is_not_made(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says what is right, prints no token and ends with code 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert 2 == caught.value.code
    printed = capsys.readouterr()
    assert message in printed.err
    assert "" == printed.out


def write(path: Path, text: str) -> None:
    """Write a file, with a time of its own however coarse the clock of the file system is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """The server reads it within a second, without a restart; tokens of the settings stay valid."""
    path, clock = tmp_path / "tokens", ManualClock()
    write(path, LINE)
    given = f"given write sha256:{hash_token('other').hex()};"
    source = TokenSource(Settings(token_file=str(path), tokens=given), clock.monotonic)
    assert ["given", "reader"] == [token.name for token in source.current()]
    write(path, LINE.replace("reader", "successor"))
    assert ["given", "reader"] == [token.name for token in source.current()]
    clock.advance(CHECK_SECONDS)
    assert ["given", "successor"] == [token.name for token in source.current()]


@pytest.mark.parametrize("broken", ["", "# none any more", "secret", LINE.replace("read ", "r ")])
def test_a_broken_file_changes_nothing(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The tokens stay as they were, and an error says so, once for each change."""
    path, clock = tmp_path / "tokens", ManualClock()
    write(path, LINE)
    source = TokenSource(Settings(token_file=str(path)), clock.monotonic)
    write(path, broken)
    for _ in range(3):
        clock.advance(CHECK_SECONDS)
        assert ["reader"] == [token.name for token in source.current()]
    (record,) = caplog.records
    assert "ERROR" == record.levelname
    assert "the tokens stay as they were" in record.message
    assert "secret" not in record.message
    write(path, LINE.replace("reader", "mended"))
    clock.advance(CHECK_SECONDS)
    assert ["mended"] == [token.name for token in source.current()]


def test_a_file_that_is_gone_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The tokens stay, an error says so once, and the file counts again when it is back."""
    path, clock = tmp_path / "tokens", ManualClock()
    write(path, LINE)
    source = TokenSource(Settings(token_file=str(path)), clock.monotonic)
    path.unlink()
    for _ in range(3):
        clock.advance(CHECK_SECONDS)
        assert ["reader"] == [token.name for token in source.current()]
    assert ["ERROR"] == [record.levelname for record in caplog.records]
    write(path, LINE.replace("reader", "back"))
    clock.advance(CHECK_SECONDS)
    assert ["back"] == [token.name for token in source.current()]


def test_a_server_does_not_start_with_bad_tokens(tmp_path: Path) -> None:
    """The message names the place, and says what is right."""
    path = tmp_path / "tokens"
    with pytest.raises(StartupError, match="tokens cannot be used: No such file"):
        TokenSource(Settings(token_file=str(path)), ManualClock().monotonic)
    path.write_text("nonsense")
    with pytest.raises(StartupError, match="tokens cannot be used: line 1: it must be NAME"):
        TokenSource(Settings(token_file=str(path)), ManualClock().monotonic)
    path.write_text(LINE)
    with pytest.raises(StartupError, match="--tokens has a token 'reader' too"):
        TokenSource(Settings(token_file=str(path), tokens=LINE), ManualClock().monotonic)
    with pytest.raises(StartupError, match="--tokens are not valid: line 1: a scope must be one"):
        TokenSource(Settings(tokens=LINE.replace(" read", " x")), ManualClock().monotonic)
