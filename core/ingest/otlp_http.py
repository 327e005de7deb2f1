"""HTTP in the attributes of an OTLP span, by the newer semantic convention or the older."""

from collections.abc import Callable
from typing import TypeVar

from core.segment_fields import Fields, number

__all__ = ["http_columns"]

T = TypeVar("T")

_METHOD = ("http.request.method", "http.method")
_STATUS = ("http.response.status_code", "http.status_code")
_URL = ("url.full", "http.url")
_SCHEME = ("url.scheme", "http.scheme")
_HOST = ("server.address", "http.host", "net.host.name", "net.peer.name")
_PORT = ("server.port", "net.host.port", "net.peer.port")


def http_columns(attributes: Fields) -> tuple[str | None, str | None, int | None, list[str]]:
    """`http_method`, `http_url`, `http_status`, by the newer convention or the older, and the attributes they hold."""
    taken: list[str] = []
    method = _take(attributes, _METHOD, _text, taken)
    url = _take(attributes, _URL, _text, taken)
    if url is None:
        url = _composed_url(attributes)
    status = _take(attributes, _STATUS, _status, taken)
    if status is None:  # one sent as a text is kept, too
        status = _take(attributes, _STATUS, _status_in, [])
    return method, url, status, taken


def _take(attributes: Fields, names: tuple[str, ...], read: Callable[[object], T | None], taken: list[str]) -> T | None:
    for name in names:
        if name in attributes and (value := read(attributes[name])) is not None:
            taken.append(name)
            return value
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _status(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 2**31 else None


def _status_in(value: object) -> int | None:
    read = number(value) if isinstance(value, str) else None
    return _status(int(read)) if read is not None and read == int(read) else None


def _composed_url(attributes: Fields) -> str | None:
    """The URL that a server's span has in pieces; its path alone where scheme or host are not known."""
    target = attributes.get("url.path", attributes.get("http.target"))
    if not isinstance(target, str):
        return None
    if query := attributes.get("url.query"):
        target += f"?{query}"
    scheme, host, port = (
        next((attributes[name] for name in names if name in attributes), None) for names in (_SCHEME, _HOST, _PORT)
    )
    if not scheme or not host:
        return target
    usual = {"http": 80, "https": 443}.get(str(scheme))
    if port and port != usual and ":" not in str(host):
        host = f"{host}:{port}"
    return f"{scheme}://{host}{target}"
