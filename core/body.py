"""The body of a request: read, unpacked, and never larger than its limit."""

import zlib

from starlette.requests import Request

from core import activity
from core.errors import BodyRefused

__all__ = ["read", "refused"]


async def read(request: Request, limit: int, source: str | None = None) -> bytes:
    """The body, unpacked; never much more than `limit` bytes of it are in memory.

    Raises `BodyRefused`, counted for `source` where there is one: 413 over the limit, 400 for what is no gzip, is cut
    short or has something behind it though `Content-Encoding` says gzip.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise refused(source, 400, "content_encoding", "Content-Encoding must be gzip or left out.")
    unpack = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += unpack.decompress(chunk, limit + 1 - len(body)) if unpack else chunk
            if len(body) > limit:
                size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
                sentence = f"The body is over {size}; send less in one request."
                raise refused(source, 413, "body_too_large", sentence)
            if unpack and unpack.unused_data:
                raise refused(source, 400, "not_gzip", "There is something behind the gzip in the body.")
    except zlib.error as error:
        sentence = "The body is no gzip though Content-Encoding says so."
        raise refused(source, 400, "not_gzip", sentence) from error
    if unpack and not unpack.eof:
        raise refused(source, 400, "gzip_cut_short", "The gzip body is cut short; send it again.")
    return bytes(body)


def refused(source: str | None, status: int, reason: str, sentence: str) -> BodyRefused:
    """Count a refused body of `source`, None for what is no traces; the exception to raise."""
    if source is not None:
        activity.refuse(source, reason, message=sentence)
    return BodyRefused(status, sentence)
