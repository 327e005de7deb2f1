"""Who may do what: one set of rules for the HTTP routes and for the buttons of the pages."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from core.errors import AccessDenied
from core.settings import Settings, is_loopback

__all__ = ["Caller", "caller", "check_host", "check_read", "check_write", "is_trusted"]

_PROXIED = ("forwarded", "x-forwarded-for", "x-real-ip")
_SIGV4 = re.compile(r"AWS4-HMAC-SHA256\s+Credential=([^/,\s]+)/")


@dataclass(frozen=True)
class Caller:
    """What a request says of who sends it."""

    host: str  # name or address, without port
    same_origin: bool
    proxied: bool
    bearer: str | None = field(default=None, repr=False)
    access_key_id: str | None = field(default=None, repr=False)


def caller(headers: Mapping[str, str], token: str | None = None) -> Caller:
    """The caller behind `headers` (names in any case); `token` is one that was typed into a page."""
    given = {name.lower(): value for name, value in headers.items()}
    host, origin = given.get("host", ""), given.get("origin")
    authorization = given.get("authorization", "")
    signed = _SIGV4.match(authorization)
    foreign = given.get("sec-fetch-site") in ("cross-site", "same-site")
    return Caller(
        host=_name(host),
        same_origin=not foreign and (origin is None or urlsplit(origin).netloc.lower() == host.lower()),
        proxied=any(name in given for name in _PROXIED),
        bearer=token or (authorization[7:].strip() if authorization[:7].lower() == "bearer " else None),
        access_key_id=signed.group(1) if signed else None,
    )


def check_host(who: Caller, settings: Settings) -> None:
    """Refuse a foreign `Host` while only this machine is served: a foreign page would read it by rebinding its name."""
    if settings.bound_to_loopback and not is_loopback(who.host):
        raise AccessDenied(403, "This address serves this machine only; open it as 127.0.0.1 or localhost.")


def check_read(who: Caller, settings: Settings) -> None:
    """Raises `AccessDenied` unless `who` may read what the routes answer."""
    check_host(who, settings)
    if settings.login and not _has_token(who, settings):
        raise AccessDenied(401, "Pages ask for a login here; reading over HTTP needs Authorization: Bearer <token>.")


def check_write(who: Caller, settings: Settings, *, xray: bool = False) -> None:
    """Raises `AccessDenied` unless `who` may write; `xray`: at the X-Ray door, where a SigV4 access key id counts."""
    if not who.same_origin:
        raise AccessDenied(403, "A page of another origin may not write here.")
    if settings.api_token is None:
        if not settings.bound_to_loopback or not is_loopback(who.host) or who.proxied:
            raise AccessDenied(403, "Set TRACECAST_API_TOKEN to write from elsewhere.")
    elif not _has_token(who, settings, xray=xray):
        raise AccessDenied(401, "Writing needs the token: send Authorization: Bearer <TRACECAST_API_TOKEN>.")


def is_trusted(who: Caller, settings: Settings) -> bool:
    """Whether `who` may see the details of errors: a reader on this machine, or a holder of the token."""
    on_this_machine = settings.bound_to_loopback and is_loopback(who.host) and not who.proxied
    return on_this_machine or _has_token(who, settings)


def _has_token(who: Caller, settings: Settings, *, xray: bool = False) -> bool:
    given = [who.bearer, who.access_key_id if xray else None]
    expected = (settings.api_token or "").encode()
    return bool(expected) and any(hmac.compare_digest((text or "").encode(), expected) for text in given)


def _name(host: str) -> str:
    """`Host` without its port: `[::1]:8501` is `[::1]`."""
    return host if host.endswith("]") or ":" not in host else host.rpartition(":")[0]
