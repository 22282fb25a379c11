"""Flags and environment variables become the settings; `--help`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from server_stub.settings import DEFINITIONS, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE_PREFIX = "NOETL_METRICS_SERVER_"


def variable_name(setting_name: str) -> str:
    """Return the environment variable of a setting."""
    return VARIABLE_PREFIX + setting_name.upper()


def flag_name(setting_name: str) -> str:
    """Return the flag of a setting."""
    return "--" + setting_name.replace("_", "-")


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings; a flag wins over its environment variable.

    Args:
        arguments: the command line without the program's name.
        environment: the environment variables.

    Raises:
        SystemExit: with code 2 after a message on stderr that names the flag or variable, its
            value and what is right; with code 0 after `--help`.
    """
    parser = _parser()
    try:
        return settings_of(vars(parser.parse_args(arguments)), environment)
    except ValueError as error:
        parser.error(str(error))


def settings_of(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Return the settings that flags and environment variables give; a flag wins.

    Args:
        flags: the text of each setting's flag by the setting's name, or None where it is not given.
        environment: the environment variables.

    Raises:
        ValueError: a setting is not valid, or not together with another; the message names the flag
            or the variable, its value and what is right.
    """
    values: dict[str, Any] = {}
    for name, definition in DEFINITIONS.items():
        given = flags.get(name)
        source = flag_name(name)
        if given is None:
            source = variable_name(name)
            given = environment.get(source)
        if given is None:
            continue
        try:
            values[name] = definition.parse(given)
        except ValueError as error:
            # A value that may hold a password or a token does not belong on a terminal.
            shown = "" if definition.confidential else f" is {given!r}:"
            raise ValueError(f"{source}{shown} {error}") from None
    settings = Settings(**values)
    _check(settings)
    return settings


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that look like a setting and are none, in the order of their names."""
    known = set(map(variable_name, DEFINITIONS))
    return sorted(
        name for name in environment if name.startswith(VARIABLE_PREFIX) and name not in known
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server_stub",
        description="Takes metrics over HTTP and keeps them in PostgreSQL.",
        epilog="A flag wins over its environment variable.",
        allow_abbrev=False,
    )
    for name in DEFINITIONS:
        parser.add_argument(
            flag_name(name),
            metavar=placeholder_of(name),
            help=help_of(name),
        )
    return parser


def placeholder_of(setting_name: str) -> str:
    """Return what `--help` shows in place of a setting's value."""
    return setting_name.rsplit("_", 1)[-1].upper()


def help_of(setting_name: str) -> str:
    """Return what `--help` says of a setting, with its variable and its default."""
    definition = DEFINITIONS[setting_name]
    variable = variable_name(setting_name)
    return f"{definition.help_text} [{variable}{_shown(definition.default)}]"


def _shown(default: object) -> str:
    if default is None or default == {}:
        return ""
    if isinstance(default, bool):
        return f"; default {'yes' if default else 'no'}"
    return f"; default {default:g}" if isinstance(default, float) else f"; default {default}"


def _check(settings: Settings) -> None:
    """Refuse settings that are valid one by one, but not together."""
    if settings.storage == "remote-write" and None in {
        settings.remote_write_url,
        settings.history_url,
    }:
        raise ValueError(
            f"{flag_name('storage')} remote-write needs {flag_name('remote_write_url')}, where "
            f"samples are written, and {flag_name('history_url')}, where they are read"
        )
    for name in ("remote_write_url", "history_url"):
        # Each becomes an Authorization, and a request has one.
        if _has_authorization(settings) and _has_credentials(getattr(settings, name)):
            raise ValueError(
                f"{flag_name(name)} has a user name or a password, and "
                f"{flag_name('receiver_headers')} an Authorization: give one of them"
            )
    for pattern, days in settings.metric_retention_days.items():
        # Within the days of the retention, readers and maintenance do not look at names.
        if days < settings.retention_days:
            raise ValueError(
                f"{flag_name('metric_retention_days')}: {pattern}={days} is shorter than "
                f"{flag_name('retention_days')} {settings.retention_days}, which all metrics are "
                "kept for at least: give more days, or a shorter retention of all"
            )


def _has_authorization(settings: Settings) -> bool:
    return "authorization" in {name.lower() for name in settings.receiver_headers}


def _has_credentials(url: str | None) -> bool:
    return url is not None and "@" in urlsplit(url).netloc
