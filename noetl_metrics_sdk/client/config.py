"""Every setting: its meaning, its default and its bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - pydantic reads it at runtime
from typing import TYPE_CHECKING, Any, Self, TypedDict

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from noetl_metrics_sdk.client.server_url import has_credentials, server_base_url, shown_url
from noetl_metrics_sdk.errors import ConfigurationError, InvalidMetricError
from noetl_metrics_sdk.model.component_types import COMPONENT_TYPES
from noetl_metrics_sdk.model.names import are_storable, check_label_name, check_text, is_runtime_id
from noetl_metrics_sdk.queue.buffer import BYTES_MAX, DROP_OLDEST, OVERFLOW_POLICIES
from noetl_metrics_sdk.system.families import SYSTEM_METRIC_GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# RFC 9110, 5.1 and 5.5
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ \t]*[!-~])*|")
_TOKEN = re.compile(r"[!-~]+")
_CONFIDENTIAL = frozenset({"headers", "token"})
"""The settings whose values no message shows, as they may be secrets."""

WORKER_ID_CHARACTERS_MAX = 480
"""A server takes 512, and a forked child appends its process id."""
COMPONENT_NAME_CHARACTERS_MAX = 255
COMPONENT_URI_CHARACTERS_MAX = 2_048
"""A server takes no more of either."""
_RUNTIME_ID_MAX = 2**63 - 1
"""PostgreSQL's BIGINT holds no more."""
_RUNTIME_ID_DIGITS_MAX = len(str(_RUNTIME_ID_MAX))


_NAMES = {
    "component_name": (COMPONENT_NAME_CHARACTERS_MAX, "cpu-01"),
    "worker_id": (WORKER_ID_CHARACTERS_MAX, "cpu-01-7"),
    "component_uri": (COMPONENT_URI_CHARACTERS_MAX, "http://worker-7:8080"),
}
"""For settings that name something: how many characters each may have, and an example."""
SHOWN_CHARACTERS_MAX = 100
"""How much of a value that is not valid a message shows."""


class Settings(TypedDict, total=False):
    """The settings by name, for type checkers; `Config` describes each of them."""

    component_type: str
    component_uri: str
    worker_id: str
    headers: Mapping[str, str]
    token: str
    tls_ca: str
    tls_certificate: str
    tls_key: str
    flush_interval: float
    refresh_interval: float
    heartbeat_interval: float
    system_interval: float
    system_metrics: Iterable[str]
    buffer_samples_max: int
    buffer_bytes_max: int
    buffer_overflow: str
    buffer_block_timeout: float
    batch_samples_max: int
    batch_bytes_max: int
    request_timeout: float
    shutdown_timeout: float
    backoff_max: float
    spool_directory: str
    spool_bytes_max: int
    spool_age_max: float
    self_metrics: bool
    handle_sigterm: bool
    disabled: bool


class Config(BaseModel):
    """The settings of a client. Durations are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server_url: str | None = Field(
        None, description="The server's address, like `http://localhost:8082`."
    )
    component_name: str | None = Field(
        None, description="The worker pool's name. It is registered, and kept alive by heartbeats."
    )
    runtime_id: str | None = Field(
        None,
        description="The id under which somebody else has registered the component. With it, "
        "this client neither registers nor sends heartbeats.",
    )
    component_type: str = Field(
        "worker_pool", description="`worker_pool`, `server_api` or `broker`."
    )
    component_uri: str | None = Field(
        None,
        description="The address of the component, for its registration. By default it is sent "
        "for a `server_api` or a `broker` only, as `local://` and the host name.",
    )
    labels: Mapping[str, str] = Field(
        default_factory=dict,
        description="Labels that every sample gets, unless its series has one of the same name.",
    )
    worker_id: str | None = Field(
        None,
        description="The label `worker_id` of every sample: what tells the processes of a pool "
        "apart. By default the host name, a random part, and the process id.",
    )
    headers: Mapping[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Sent with every request: credentials, for example.",
    )
    token: SecretStr | None = Field(
        None, description="Sent with every request as `Authorization: Bearer …`, and never logged."
    )
    tls_ca: str | None = Field(
        None,
        description="PEM file of the authorities that may have signed the server's certificate; "
        "by default those that httpx trusts.",
    )
    tls_certificate: str | None = Field(
        None, description="PEM file of the certificate by which the server knows this client."
    )
    tls_key: str | None = Field(
        None, description="PEM file of that certificate's key, unless it is in the same file."
    )
    flush_interval: float = Field(
        10.0, gt=0, le=86_400, description="From one collection to the next, give or take 10 %."
    )
    refresh_interval: float = Field(
        60.0, gt=0, le=86_400, description="After this long an unchanged series is sent again."
    )
    heartbeat_interval: float = Field(
        30.0, gt=0, le=86_400, description="From one heartbeat to the next."
    )
    system_interval: float = Field(
        10.0, gt=0, le=86_400, description="From one reading of the system to the next."
    )
    system_metrics: tuple[str, ...] = Field(
        SYSTEM_METRIC_GROUPS,
        description="Which groups of system metrics are read; none switches the thread off.",
    )
    buffer_samples_max: int = Field(
        100_000, ge=1, description="How many samples wait in memory at most."
    )
    buffer_bytes_max: int = Field(
        BYTES_MAX, ge=1024, description="How many bytes those take at most, about as they are sent."
    )
    buffer_overflow: str = Field(
        DROP_OLDEST,
        description="What a full buffer does: `drop_oldest`, `drop_newest`, or `block`, which has "
        "whoever adds a sample wait for room.",
    )
    buffer_block_timeout: float = Field(
        1.0, ge=0, le=600, description="How long `block` waits before it drops the newest."
    )
    batch_samples_max: int = Field(
        5_000, ge=1, le=100_000, description="How many samples a request carries at most."
    )
    batch_bytes_max: int = Field(
        1024 * 1024, ge=1024, description="How many bytes a request's body has at most."
    )
    request_timeout: float = Field(10.0, gt=0, le=600, description="How long a request may take.")
    shutdown_timeout: float = Field(
        5.0, ge=0, le=600, description="How long the delivery at the process's end may take."
    )
    backoff_max: float = Field(
        60.0, gt=0, le=3_600, description="The longest wait between two attempts."
    )
    spool_directory: str | None = Field(
        None,
        description="Where batches wait on disk until they are acknowledged; unless given, they "
        "wait in memory.",
    )
    spool_bytes_max: int = Field(
        256 * 1024 * 1024,
        ge=1024 * 1024,
        description="How many bytes a process keeps on disk at most; the oldest are dropped first.",
    )
    spool_age_max: float = Field(
        86_400.0, gt=0, le=518_400, description="After this long a batch on disk is dropped."
    )
    self_metrics: bool = Field(
        True, description="Whether the client reports what it does, every `refresh_interval`."
    )
    handle_sigterm: bool = Field(
        True,
        description="Whether SIGTERM, where nothing else handles it, ends the process only after "
        "the delivery.",
    )
    disabled: bool = Field(
        False,
        description="Whether the client does nothing: instruments count, and nothing is sent.",
    )

    @classmethod
    def of(cls, settings: Mapping[str, Any], named: Callable[[str], str] = str) -> Self:
        """Return the configuration with these settings, and the defaults for the others.

        Args:
            settings: the settings' values by name.
            named: turns a setting's name into the name that the user knows, for error messages.

        Raises:
            ConfigurationError: a setting is unknown or not valid.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            raise ConfigurationError(_explained(error, named)) from None

    def given(self) -> dict[str, Any]:
        """Return the settings that were given, by name, without those that have their defaults."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    @field_validator("server_url")
    @classmethod
    def _check_server_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        return server_base_url(url)

    @field_validator("runtime_id", mode="before")
    @classmethod
    def _check_runtime_id(cls, runtime_id: object) -> object:
        if runtime_id is None:
            return None
        text = str(runtime_id)
        is_number = not isinstance(runtime_id, bool) and is_runtime_id(text)
        if not is_number or len(text) > _RUNTIME_ID_DIGITS_MAX or int(text) > _RUNTIME_ID_MAX:
            raise ValueError("give the number that the registration answered")
        return text

    @field_validator("component_type")
    @classmethod
    def _check_component_type(cls, component_type: str) -> str:
        if component_type not in COMPONENT_TYPES:
            raise ValueError(f"give one of {', '.join(COMPONENT_TYPES)}")
        return component_type

    @field_validator("buffer_overflow")
    @classmethod
    def _check_buffer_overflow(cls, policy: str) -> str:
        if policy not in OVERFLOW_POLICIES:
            raise ValueError(f"give one of {', '.join(OVERFLOW_POLICIES)}")
        return policy

    @field_validator("token", mode="before")
    @classmethod
    def _check_token(cls, token: object) -> object:
        shown = token.get_secret_value() if isinstance(token, SecretStr) else token
        if shown is not None and not (isinstance(shown, str) and _TOKEN.fullmatch(shown)):
            raise ValueError("give the token alone: printable ASCII characters without spaces")
        return token

    @field_validator("tls_ca", "tls_certificate", "tls_key")
    @classmethod
    def _check_file(cls, path: str | None) -> str | None:
        if path is not None and (not path.strip() or "\x00" in path):
            raise ValueError("give the path of a PEM file, like /etc/ssl/metrics.pem")
        return path

    @field_validator("spool_directory")
    @classmethod
    def _check_spool_directory(cls, directory: str | None) -> str | None:
        if directory is not None and (not directory.strip() or "\x00" in directory):
            raise ValueError("give the path of a directory, like /var/spool/noetl-metrics")
        return directory

    @field_validator("component_name", "worker_id", "component_uri", mode="before")
    @classmethod
    def _check_name(cls, name: object, validated: ValidationInfo) -> object:
        if name is None or not isinstance(name, str):
            return name
        setting = validated.field_name or ""
        characters_max, example = _NAMES[setting]
        mistake = ""
        if not are_storable([name]):
            mistake = "it has NUL or a lone surrogate, which PostgreSQL cannot store"
        elif not name.strip():
            mistake = "it must not be blank"
        elif len(name) > characters_max:
            mistake = f"it has {len(name)} characters, and a server takes {characters_max}"
        if mistake:
            raise ValueError(f"{mistake}; give a text like {example!r}")
        return name

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        try:
            for name, value in labels.items():
                check_label_name(name, reserved=("le", "quantile"))
                check_text("label value", value)
        except InvalidMetricError as error:
            raise ValueError(str(error)) from None
        return labels

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                # The message does not show the value, which may be a secret.
                raise ValueError(
                    f"header {name!r} is not valid: a name has letters, digits and '-', a value "
                    "printable ASCII characters, without a line break"
                )
        return headers

    @field_validator("system_metrics", mode="before")
    @classmethod
    def _check_system_metrics(cls, groups: object) -> object:
        if isinstance(groups, str):
            raise ValueError(f"give a list of groups, like [{groups!r}]")  # noqa: TRY004
        return tuple(groups) if isinstance(groups, (list, set, frozenset)) else groups  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    @field_validator("system_metrics")
    @classmethod
    def _check_groups(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [group for group in groups if group not in SYSTEM_METRIC_GROUPS]
        if unknown:
            raise ValueError(
                f"there is no group {unknown[0]!r}: choose from {', '.join(SYSTEM_METRIC_GROUPS)}"
            )
        return groups

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        # Each becomes an Authorization, and a request has one.
        given = {
            "token": self.token is not None,
            "headers": "authorization" in {name.lower() for name in self.headers},
            "the user name and password in server_url": self.server_url is not None
            and has_credentials(self.server_url),
        }
        sources = [source for source, gives in given.items() if gives]
        if len(sources) > 1:
            given_by = " and ".join(sources)
            raise ValueError(f"{given_by} both give an Authorization: give one of them")
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key is of use only with a tls_certificate: give that too")
        return self

    @model_validator(mode="after")
    def _check_component(self) -> Self:
        if self.component_name is None and self.runtime_id is None and not self.disabled:
            raise ValueError(
                "component_name (NOETL_WORKER_POOL_NAME) is missing: give the worker pool's name, "
                "or the runtime_id (NOETL_METRICS_RUNTIME_ID) under which it is registered"
            )
        return self


def _explained(error: ValidationError, named: Callable[[str], str]) -> str:
    explanations: list[str] = []
    for problem in error.errors(include_url=False):
        setting, *rest = [str(part) for part in problem["loc"]] or [""]
        name = ".".join([named(setting), *rest]) if setting else ""
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"there is no such setting; there are {', '.join(Config.model_fields)}"
        value = f" is {_shown(setting, problem['input'])}" if name else ""
        if setting in _CONFIDENTIAL:
            value = ""
        explanations.append(f"{name}{value}: {message}" if name else message)
    return "; ".join(explanations)


def _shown(setting: str, value: object) -> str:
    """Return a value as a message shows it: bounded, and without the credentials of a URL."""
    is_url = setting in {"server_url", "component_uri"} and isinstance(value, str)
    shown = repr(shown_url(str(value)) if is_url else value)
    if len(shown) <= SHOWN_CHARACTERS_MAX:
        return shown
    return f"{shown[:SHOWN_CHARACTERS_MAX]}… ({len(shown)} characters)"
