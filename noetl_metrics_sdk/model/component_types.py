"""The types of components."""

from __future__ import annotations

from typing import Literal, get_args

ComponentType = Literal["worker_pool", "server_api", "broker"]

COMPONENT_TYPES: tuple[ComponentType, ...] = get_args(ComponentType)
