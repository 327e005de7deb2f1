"""The UDP packet of the X-Ray SDKs: a header line, `{"format":"json","version":1}`, then one segment document.

https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon
"""

import functools
import json
from collections.abc import Callable
from datetime import datetime

from core import spans
from core.errors import MalformedSegment
from core.spans import Span

__all__ = ["parse"]


def parse(packet: bytes, source: str, now: datetime, note: Callable[[str], None]) -> list[Span]:
    """The spans of a packet's document, as `spans.parse` reads it, whose reasons to refuse are these too.

    Besides, `MalformedSegment` has the reason `wrong_header`, `literal_newline`, `missing_newline`, `empty_document`,
    `truncated` or `several_documents`.
    """
    sent = _document(packet)
    try:
        return spans.parse(sent, source, now, note)
    except MalformedSegment as refusal:
        if refusal.reason == "not_json":
            _refuse_pieces(sent.decode(errors="replace").strip())
        raise


def _document(packet: bytes) -> bytes:
    head, brace, rest = packet.partition(b"}")
    if not _is_header(head + brace):
        raise MalformedSegment("wrong_header", 'The packet does not begin with {"format":"json","version":1}.')
    line, newline, document = rest.partition(b"\n")
    if line.lstrip().startswith(rb"\n"):
        raise MalformedSegment("literal_newline", "A backslash and an n end the packet's header, not a newline.")
    if line.strip() or not newline:
        raise MalformedSegment("missing_newline", "The packet has no newline after its header.")
    if not document.strip():
        raise MalformedSegment("empty_document", "The packet has no segment document after its header.")
    return document


@functools.lru_cache(maxsize=16)  # a sender writes the same one each time
def _is_header(line: bytes) -> bool:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("format") == "json" and header.get("version") == 1


def _refuse_pieces(text: str) -> None:
    """Raise `MalformedSegment` if `text`, which is no JSON, is the beginning of a document, or more than one."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        if text.startswith("{") and (error.pos == len(text) or not text.endswith("}")):
            raise MalformedSegment("truncated", "The segment document ends before it is complete.") from None
        return
    if text[end:].lstrip().startswith("{"):
        raise MalformedSegment("several_documents", "The packet has more than one segment document.")
