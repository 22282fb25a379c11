"""Read the settings from environment variables: their names, and how their values are written."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk.client.config import Config
from noetl_metrics_sdk.errors import ConfigurationError
from noetl_metrics_sdk.system.families import SYSTEM_METRIC_GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger("noetl_metrics_sdk")

# The variables that NoETL's own workers use. Every other setting is NOETL_METRICS_<NAME>.
_NOETL_VARIABLES = {
    "server_url": "NOETL_SERVER_URL",
    "component_name": "NOETL_WORKER_POOL_NAME",
    "worker_id": "NOETL_WORKER_ID",
    "flush_interval": "NOETL_WORKER_METRICS_INTERVAL",
    "heartbeat_interval": "NOETL_WORKER_HEARTBEAT_INTERVAL",
    "disabled": "NOETL_DISABLE_METRICS",
}
_POOL_RUNTIME = "NOETL_WORKER_POOL_RUNTIME"
_OF_THE_SERVER = "NOETL_METRICS_SERVER_"  # server_stub's own settings
_OF_THE_BUILD = "NOETL_METRICS_COMPILE"


def config_from_environment(environment: Mapping[str, str]) -> Config:
    """Return the configuration that environment variables give.

    It logs a warning for each variable that looks like a setting and is none. If there is neither
    a pool's name nor a runtime id, the pool has the name that NoETL's own workers give it.

    Args:
        environment: `os.environ`, or another mapping in its place.

    Raises:
        ConfigurationError: a variable is missing or not valid; the message names it.
    """
    settings: dict[str, Any] = {}
    for name in Config.model_fields:
        variable = environment_variable(name)
        text = environment.get(variable, "").strip()
        if not text:
            continue
        if name in {"labels", "headers"}:
            settings[name] = _pairs(variable, text)
        elif name == "system_metrics":
            settings[name] = _groups(text)
        else:
            settings[name] = text
    if "component_name" not in settings and "runtime_id" not in settings:
        settings["component_name"] = _default_pool_name(environment)
    _warn_of_unknown_variables(environment)
    return Config.of(settings, environment_variable)


def environment_variable(setting: str) -> str:
    """Return the name of the environment variable for a setting."""
    return _NOETL_VARIABLES.get(setting, f"NOETL_METRICS_{setting.upper()}")


def _default_pool_name(environment: Mapping[str, str]) -> str:
    """Return the name of a worker pool that has none, as NoETL's own workers make it."""
    runtime = environment.get(_POOL_RUNTIME, "").strip().lower() or "cpu"
    return f"worker-{runtime}"


def _warn_of_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {environment_variable(name) for name in Config.model_fields}
    not_for_a_client = (_OF_THE_SERVER, _OF_THE_BUILD)
    for variable in sorted(environment):
        is_ours = variable.startswith("NOETL_METRICS_") and not variable.startswith(
            not_for_a_client
        )
        if is_ours and variable not in known:
            _logger.warning(
                "%s is no setting and has no effect; there are %s", variable, sorted(known)
            )


def _pairs(variable: str, text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            # The message does not show a header, which may be a secret.
            shown = "is not valid" if variable == "NOETL_METRICS_HEADERS" else f"has {part!r}"
            raise ConfigurationError(f"{variable} {shown}: write name=value,name=value")
        pairs[name.strip()] = value.strip()
    return pairs


def _groups(text: str) -> tuple[str, ...]:
    if text in {"all", "none"}:
        return SYSTEM_METRIC_GROUPS if text == "all" else ()
    return tuple(part.strip() for part in text.split(","))
