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
        ({"worker_id": "w" * 481}, "String should have at most 480 characters"),
        ({"worker_id": "a\x00"}, "any text will do but NUL"),
        ({"worker_id": "\udcff"}, "Input should be a valid string"),
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
