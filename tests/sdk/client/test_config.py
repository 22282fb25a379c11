"""The client accepts valid settings and refuses the others."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk import ConfigurationError
from tests.sdk.client.clients import make_client


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"component_name": None}, "component_name (NOETL_WORKER_POOL_NAME) is missing"),
        ({"transport": None}, "server_url (NOETL_SERVER_URL) is missing"),
        ({"server_url": "http://exa mple"}, "give a URL like http://localhost:8082"),
        ({"server_url": "http://a\nb"}, "give a URL like http://localhost:8082"),
        ({"headers": {"Authorization": "Bearer x\n"}}, "header 'Authorization' is not valid"),
        ({"headers": {"a b": "x"}}, "header 'a b' is not valid"),
        ({"headers": {"X-Name": "naïve"}}, "header 'X-Name' is not valid"),
        ({"runtime_id": "--5"}, "runtime_id is '--5': give the number"),
        ({"runtime_id": "٣"}, "runtime_id is '٣': give the number"),
        ({"server_url": "http://localhost:80820"}, "give a URL like http://localhost:8082"),
        ({"server_url": "http://"}, "server_url is 'http://': give a URL like"),
        ({"server_url": "localhost:8082"}, "server_url is 'localhost:8082': give a URL like"),
        ({"runtime_id": "abc"}, "runtime_id is 'abc': give the number"),
        ({"runtime_id": True}, "runtime_id is True: give the number"),
        ({"runtime_id": ""}, "runtime_id is '': give the number"),
        ({"runtime_id": 2**63}, "runtime_id is 9223372036854775808: give the number"),
        ({"runtime_id": "9" * 5_000}, "(5002 characters): give the number"),
        ({"worker_id": "w" * 481}, "it has 481 characters, and a server takes 480"),
        ({"worker_id": "a\x00"}, "it has NUL or a lone surrogate"),
        ({"worker_id": "\udcff"}, "it has NUL or a lone surrogate"),
        ({"worker_id": ""}, "worker_id is '': it must not be blank; give a text like 'cpu-01-7'"),
        ({"component_name": ""}, "component_name is '': it must not be blank; give a text like"),
        ({"component_name": " \t"}, "component_name is ' \\t': it must not be blank"),
        ({"component_name": "a\x00"}, "it has NUL or a lone surrogate, which PostgreSQL cannot"),
        ({"component_name": "\udcff"}, "it has NUL or a lone surrogate"),
        ({"component_name": "n" * 10_000}, "it has 10000 characters, and a server takes 255"),
        ({"component_name": 7}, "component_name is 7: Input should be a valid string"),
        ({"component_uri": "u" * 2_049}, "it has 2049 characters, and a server takes 2048"),
        ({"server_url": "http://a..b:8082"}, "give a URL like http://localhost:8082"),
        ({"server_url": f"http://{'l' * 64}.test"}, "give a URL like http://localhost:8082"),
        ({"server_url": "http://.test"}, "give a URL like http://localhost:8082"),
        ({"component_type": "robot"}, "component_type is 'robot': give one of worker_pool"),
        ({"labels": {"le": "1"}}, "label name 'le'"),
        ({"labels": {"a b": "1"}}, "label name 'a b' is not valid"),
        ({"labels": {"a": "\x00"}}, "NUL"),
        ({"labels": {"a": 1}}, "labels.a is 1: Input should be a valid string"),
        ({"flush_interval": 0}, "flush_interval is 0: Input should be greater than 0"),
        ({"flush_interval": "soon"}, "flush_interval is 'soon'"),
        ({"system_metrics": ["cpus"]}, "there is no group 'cpus': choose from cpu"),
        ({"system_metrics": "cpu"}, "give a list of groups"),
        ({"buffer_samples_max": 0}, "buffer_samples_max is 0"),
        ({"buffer_overflow": "wait"}, "buffer_overflow is 'wait': give one of drop_oldest"),
        ({"spool_directory": " "}, "spool_directory is ' ': give the path of a directory"),
        # The server recognises a repeat for a week.
        ({"spool_age_max": 7 * 86_400}, "spool_age_max is 604800: Input should be less than"),
        ({"flush_intervall": 5}, "flush_intervall is 5: there is no such setting"),
    ],
)
def test_a_setting_that_is_not_valid_is_refused_by_name(settings, message):
    """The error names the setting and its value, and says what a right one looks like."""
    with pytest.raises(ConfigurationError) as refused:
        make_client(**settings)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "sources"),
    [
        ({"token": "hidden"}, "token and the user name and password in server_url"),
        (
            {"headers": {"authorization": "Bearer hidden"}},
            "headers and the user name and password in server_url",
        ),
        (
            {"token": "hidden", "headers": {"Authorization": "hidden"}, "server_url": "http://h"},
            "token and headers",
        ),
    ],
)
def test_credentials_come_from_one_place(settings, sources):
    """A request has one Authorization, so a client that is given two is refused."""
    settings = {"server_url": "http://me:hidden@h", **settings}
    with pytest.raises(ConfigurationError) as refused:
        make_client(**settings)
    assert f"{sources} both give an Authorization: give one of them" == str(refused.value)


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"server_url": "http://me:hidden@h?x=1"}, "server_url is 'http://…@h?x=1': a server's"),
        ({"server_url": "me:hid/den@h:8082"}, "server_url is '…@h:8082': give a URL"),
        ({"component_uri": "http://me:hidden@h\x00"}, "component_uri is 'http://…@h\\x00': "),
    ],
)
def test_a_message_does_not_show_the_password_of_a_url(settings, shown):
    """What is wrong with a URL is said without the credentials in it."""
    with pytest.raises(ConfigurationError) as refused:
        make_client(**settings)
    assert str(refused.value).startswith(shown)
    assert "hid" not in str(refused.value)
