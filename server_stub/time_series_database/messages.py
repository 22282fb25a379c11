"""The messages of Prometheus remote write, 1.0 and 2.0, as classes of protobuf. Pure.

This module describes the messages, and protobuf makes the classes when the module is imported. The
descriptions leave out fields that the server never sends, which the encoding allows.

Version 2.0 tells when a series was 0 in two ways. Its release candidates up to the fourth have a
`created_timestamp` for a `TimeSeries`, later ones a `start_timestamp` for each `Sample`. The server
sends both, as a receiver skips the field that it does not know.

Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/ (`prometheus.WriteRequest`) and
https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/ (`io.prometheus.write.v2.Request`).

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Mapping

    Fields = Mapping[str, tuple[int, "int | str", bool]]
    """The number and the type of each field by its name, and whether the field is repeated."""

_Field = descriptor_pb2.FieldDescriptorProto

VERSION_1: Mapping[str, Fields] = {
    "Label": {
        "name": (1, _Field.TYPE_STRING, False),
        "value": (2, _Field.TYPE_STRING, False),
    },
    "Sample": {
        "value": (1, _Field.TYPE_DOUBLE, False),
        "timestamp": (2, _Field.TYPE_INT64, False),
    },
    "TimeSeries": {
        "labels": (1, "Label", True),
        "samples": (2, "Sample", True),
    },
    "MetricMetadata": {
        # This is an enum, which protobuf encodes as its number.
        "type": (1, _Field.TYPE_INT32, False),
        "metric_family_name": (2, _Field.TYPE_STRING, False),
        "help": (4, _Field.TYPE_STRING, False),
        "unit": (5, _Field.TYPE_STRING, False),
    },
    "WriteRequest": {
        "timeseries": (1, "TimeSeries", True),
        "metadata": (3, "MetricMetadata", True),
    },
}

VERSION_2: Mapping[str, Fields] = {
    "Sample": {
        "value": (1, _Field.TYPE_DOUBLE, False),
        "timestamp": (2, _Field.TYPE_INT64, False),
        "start_timestamp": (3, _Field.TYPE_INT64, False),
    },
    "Metadata": {
        "type": (1, _Field.TYPE_INT32, False),
        "help_ref": (3, _Field.TYPE_UINT32, False),
        "unit_ref": (4, _Field.TYPE_UINT32, False),
    },
    "TimeSeries": {
        "labels_refs": (1, _Field.TYPE_UINT32, True),
        "samples": (2, "Sample", True),
        "metadata": (5, "Metadata", False),
        "created_timestamp": (6, _Field.TYPE_INT64, False),
    },
    "Request": {
        "symbols": (4, _Field.TYPE_STRING, True),
        "timeseries": (5, "TimeSeries", True),
    },
}

METRIC_TYPES = {"counter": 1, "gauge": 2, "histogram": 3, "summary": 5}
"""The numbers of both versions' enum; 0 is unknown."""


def message_classes(package: str, messages: Mapping[str, Fields]) -> dict[str, Any]:
    """Return the class of each message.

    Args:
        package: the messages' protobuf package.
        messages: the fields of each message, by its name.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind, repeated) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
            else:
                field.type = cast("_Field.Type.ValueType", kind)
    # The messages have a pool of their own: another library of the process may describe them too.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }
