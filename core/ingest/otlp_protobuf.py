"""OTLP in protobuf: a request's spans in plain values.

Messages are walked field by field: `MessageToDict` takes more than four times as long.
"""

import math
import struct
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from core.errors import MalformedSegment
from core.ingest.otlp_fields import Group, Sent, present
from core.lenient_json import Note
from core.segment_fields import Fields

__all__ = ["groups", "plain"]

M = TypeVar("M", bound=Message)

_SHORT = 256  # bytes; longer attributes seldom come twice, and those that did are kept
# On the wire: field 2 of a `KeyValue`, 9 bytes long, which are field 4 of an `AnyValue`, 8 bytes.
_DOUBLE, _DOUBLE_BYTES = b"\x12\x09\x21", 8
_double_in = struct.Struct("<d").unpack_from


def _encoding(message: str, field: str) -> Callable[[str], Any]:
    """OTLP's messages by name, the same on the wire, but for bytes in the place of each value of one field."""
    file = FileDescriptorProto.FromString(trace_pb2.DESCRIPTOR.serialized_pb)
    (holder,) = (known for known in file.message_type if known.name == message)
    (held,) = (known for known in holder.field if known.name == field)
    held.type = FieldDescriptorProto.TYPE_BYTES
    held.ClearField("type_name")
    pool = DescriptorPool()
    for needed in (common_pb2.DESCRIPTOR, resource_pb2.DESCRIPTOR):
        pool.AddSerializedFile(needed.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return lambda name: GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))


_WithEncodedSpans = _encoding("ScopeSpans", "spans")("TracesData")  # it is what a request to export is
# Attributes are decoded one by one: of most that come an equal one came before.
_with_encoded_attributes = _encoding("Span", "attributes")
_Request, _Span = _with_encoded_attributes("TracesData"), _with_encoded_attributes("Span")


def groups(body: bytes, note: Note) -> list[Group[Any]]:
    """The request's spans by resource and scope, encoded where one of them is damaged. Raises `MalformedSegment`
    (`not_otlp`).
    """
    request = _decoded(_Request, body) or _decoded(_WithEncodedSpans, body) or _WithEncodedSpans()
    if body and not request.resource_spans:  # what is no protobuf at all may still read as fields nobody knows
        raise MalformedSegment("not_otlp", "The body is no ExportTraceServiceRequest in protobuf.")
    return [
        Group(_resource(sent.resource, sent.schema_url, note), _scope(part.scope, part.schema_url, note), part.spans)
        for sent in request.resource_spans
        for part in sent.scope_spans
    ]


def plain(sent: Any, note: Note) -> Sent:
    """One span; its ids and times are unchecked. Raises `MalformedSegment` (`not_a_span`)."""
    span = _decoded(_Span, sent) if isinstance(sent, bytes) else sent
    if span is None:
        raise _not_a_span()
    status, events, links = span.status, span.events, span.links
    return Sent(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _decoded_attributes(span.attributes, note),
        status.code,
        status.message,
        [_event(event, note) for event in events] if events else [],
        [_link(link, note) for link in links] if links else [],
        present(
            trace_state=span.trace_state,
            flags=span.flags,
            dropped_attributes_count=span.dropped_attributes_count,
            dropped_events_count=span.dropped_events_count,
            dropped_links_count=span.dropped_links_count,
        ),
    )


def _decoded(message: type[M], encoded: bytes) -> M | None:
    try:
        return message.FromString(encoded)
    except DecodeError:
        return None


def _event(event: Span.Event, note: Note) -> Fields:
    return present(
        time_unix_nano=event.time_unix_nano,
        name=event.name,
        attributes=_attributes(event.attributes, note),
        dropped_attributes_count=event.dropped_attributes_count,
    )


def _link(link: Span.Link, note: Note) -> Fields:
    return present(
        trace_id=link.trace_id.hex(),
        span_id=link.span_id.hex(),
        trace_state=link.trace_state,
        flags=link.flags,
        attributes=_attributes(link.attributes, note),
        dropped_attributes_count=link.dropped_attributes_count,
    )


def _resource(resource: Resource, schema_url: str, note: Note) -> Fields:
    return present(
        attributes=_attributes(resource.attributes, note),
        entity_refs=[
            present(
                schema_url=ref.schema_url,
                type=ref.type,
                id_keys=list(ref.id_keys),
                description_keys=list(ref.description_keys),
            )
            for ref in resource.entity_refs
        ],
        schema_url=schema_url,
        dropped_attributes_count=resource.dropped_attributes_count,
    )


def _scope(scope: InstrumentationScope, schema_url: str, note: Note) -> Fields:
    return present(
        name=scope.name,
        version=scope.version,
        attributes=_attributes(scope.attributes, note),
        schema_url=schema_url,
        dropped_attributes_count=scope.dropped_attributes_count,
    )


def _not_a_span() -> MalformedSegment:
    return MalformedSegment("not_a_span", "A span can't be decoded: it is damaged, or a text in it is no UTF-8.")


def _decoded_attributes(sent: Iterable[bytes], note: Note) -> Fields:
    """Raises `MalformedSegment` (`not_a_span`)."""
    attributes: Fields = {}
    for encoded in sent:
        known = _double(encoded) or (_scalar(encoded) if len(encoded) <= _SHORT else None)
        if known is None:
            attribute = _decoded(KeyValue, encoded)
            if attribute is None:
                raise _not_a_span()
            known = attribute.key, _value(attribute.value, note)
        if known[0] in attributes:
            note("attribute_twice")
        attributes[known[0]] = known[1]
    return attributes


def _double(encoded: bytes) -> tuple[str, float] | None:
    """Name and value of an attribute that is a finite double, as what is measured is: those seldom come twice."""
    if encoded[-_DOUBLE_BYTES - 3 : -_DOUBLE_BYTES] != _DOUBLE:
        return None
    key = _key(encoded[: -_DOUBLE_BYTES - 3])
    (value,) = _double_in(encoded, len(encoded) - _DOUBLE_BYTES)
    return (key, value) if key is not None and math.isfinite(value) else None


@lru_cache(maxsize=1024)
def _key(encoded: bytes) -> str | None:
    """The text that a key of up to 127 bytes encodes, and nothing else; None of anything else."""
    if not 2 <= len(encoded) < 130 or encoded[:2] != bytes((0x0A, len(encoded) - 2)):
        return None
    try:
        return encoded[2:].decode()
    except UnicodeDecodeError:
        return None


@lru_cache(maxsize=4096)
def _scalar(encoded: bytes) -> tuple[str, str | float | bool] | None:
    """Name and value of an attribute; None where the value is no scalar, or there is something to be noted."""
    attribute = _decoded(KeyValue, encoded)
    if attribute is None:
        return None
    odd: list[str] = []
    value = _value(attribute.value, odd.append)
    return (attribute.key, value) if isinstance(value, str | int | float) and not odd else None


def _attributes(sent: Iterable[KeyValue], note: Note) -> Fields:
    attributes: Fields = {}
    for attribute in sent:
        key = attribute.key
        if key in attributes:
            note("attribute_twice")
        value = attribute.value
        attributes[key] = value.string_value or _value(value, note)  # most are texts, and each access takes its time
    return attributes


def _value(sent: AnyValue, note: Note) -> Any:
    kind = sent.WhichOneof("value")
    if kind == "string_value":
        return sent.string_value
    if kind == "double_value":
        number = sent.double_value
        if math.isfinite(number):
            return number
        note("number_not_finite")
        return None
    if kind == "int_value":
        return sent.int_value
    if kind == "bool_value":
        return sent.bool_value
    if kind == "array_value":
        return [_value(value, note) for value in sent.array_value.values]
    if kind == "kvlist_value":
        return _attributes(sent.kvlist_value.values, note)
    if kind == "bytes_value":
        return {"bytesValue": b64encode(sent.bytes_value).decode()}
    return None
