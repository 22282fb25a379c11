"""`noetl-metrics token`."""

from __future__ import annotations

import pytest

from server_stub.auth.tokens import find_token, parse_tokens

pytestmark = pytest.mark.once


@pytest.fixture
def token_file(tmp_path, monkeypatch):
    """The token file, which the server's environment variable names."""
    path = tmp_path / "tokens"
    monkeypatch.setenv("NOETL_METRICS_SERVER_TOKEN_FILE", str(path))
    return path


def test_a_new_token_is_printed_once_and_its_line_appended(run, token_file):
    """With a token file, the token alone is printed; the file has its hash."""
    secret = run("token", "new", "reader", "--scope=read").out.strip()
    tokens = parse_tokens(token_file.read_text())
    found = find_token(secret, tokens)
    assert found is not None
    assert "reader" == found.name
    assert secret not in token_file.read_text()


def test_without_a_file_the_line_is_printed_too(run):
    """The line is what belongs in the file."""
    answer = run("token", "new", "cpu", "--scope=write", "--runtime=worker_pool/x", "--json").json
    (token,) = parse_tokens(answer["line"])
    assert find_token(answer["token"], [token]) is token
    assert "worker_pool/x" == str(token.bound_to)


def test_tokens_are_listed_without_themselves(run, token_file):
    """A row has the name, the scopes and the component."""
    run("token", "new", "a", "--scope=read", "--scope=write")
    run("token", "new", "b", "--scope=write", "--runtime=broker/x y")
    assert [["a", "write,read", ""], ["b", "write", "broker/x y"]] == run("token", "list").rows
    listed = run("token", "list", "--json").json["tokens"]
    assert {"name": "b", "scopes": ["write"], "runtime": "broker/x y"} == listed[1]
    assert token_file.exists()


def test_a_revoked_token_leaves_the_file_as_it_was_before(run, token_file):
    """The other lines and the file's mode stay."""
    token_file.write_text("# by hand\n")
    token_file.chmod(0o640)
    run("token", "new", "a", "--scope=read")
    before = token_file.read_text()
    run("token", "new", "b", "--scope=read")
    result = run("token", "revoke", "b")
    assert (0, before, 0o640) == (
        result.code,
        token_file.read_text(),
        token_file.stat().st_mode & 0o777,
    )


def test_the_last_token_is_not_revoked(run, token_file):
    """A server would keep it, as it takes no file without tokens; so the command says so."""
    run("token", "new", "a", "--scope=read")
    result = run("token", "revoke", "a")
    assert 1 == result.code
    assert f"'a' is the only token of {token_file}" in result.err
    assert 1 == len(parse_tokens(token_file.read_text()))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["new", "a b", "--scope=read"], 2, "the name must be 1 to 64 letters"),
        (["new", "a", "--scope=look"], 2, "'look' is not one of 'write', 'read', 'admin'"),
        (["new", "a", "--scope=write", "--runtime=x"], 2, "must be KIND/NAME, like worker_pool/"),
        (["new", "a"], 2, "Missing option '--scope'. Choose from: write, read, admin"),
        (["revoke", "reade"], 1, "has no token 'reade': did you mean reader?"),
        (["lits"], 2, "No such command 'lits'. Did you mean 'list'?"),
        (["list", "--token-file=/nowhere/x"], 1, "/nowhere/x: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, token_file, arguments, code, message):
    """The line says what is right."""
    run("token", "new", "reader", "--scope=read")
    result = run("token", *arguments)
    assert (code, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert message in result.err


def test_a_file_has_to_be_named(run):
    """Without the option and the variable, the message names both."""
    result = run("token", "list")
    assert (
        2,
        "noetl-metrics: give --token-file FILE, or NOETL_METRICS_SERVER_TOKEN_FILE\n",
    ) == (result.code, result.err)
