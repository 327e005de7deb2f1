"""Every setting, read once: environment `TRACECAST_*` over `[tracecast]` in the secrets file over the default."""

import functools
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from core.errors import SettingError

__all__ = ["Settings", "current", "is_loopback"]

_ROOT = Path(__file__).resolve().parent.parent
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_SOURCE = re.compile(r"sample|live|otlp|aws:[a-z0-9-]{1,40}|file:[A-Za-z0-9._-]{1,80}")

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What the process was told, checked. Changing the environment later changes nothing."""

    home: Path = Path("~/.tracecast")
    udp_host: str = "127.0.0.1"
    udp_port: int = 2000
    pipeline: bool = True
    price_api: str | None = None  # scheme and host that stand in for those of all three price APIs
    price_interval_s: float = 60.0
    source: str = "sample"
    aws_regions: tuple[str, ...] = ()  # those whose X-Ray may be read
    xray_filter: str | None = None  # a filter expression of X-Ray
    xray_endpoint: str | None = None  # stands in for the address of X-Ray
    pull_max_traces_per_day: int = 200_000  # scanned or retrieved: what AWS may bill
    import_max_bytes: int = 2 << 30  # of one file, after decompression
    sampling_rate: float = 1.0  # share of requests that X-Ray SDKs are told to trace
    retention_days: int = 0  # 0 keeps everything
    api_token: str | None = field(default=None, repr=False)
    log_level: str = "INFO"
    server_address: str = "127.0.0.1"
    server_port: int = 8501
    login: bool = False  # `[auth]` stands in the secrets

    @property
    def bound_to_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.server_address)

    @classmethod
    def load(cls, environ: Mapping[str, str], secrets: Mapping[str, Any]) -> "Settings":
        """Settings from an environment and a parsed secrets file.

        Raises `SettingError`, which names the setting, the value found and an example that works.
        """
        table = secrets.get("tracecast", {})
        if not isinstance(table, Mapping):
            raise SettingError(
                "tracecast in the secrets is a value: expected the heading [tracecast], settings below it."
            )
        default = cls()

        def read(name: str, convert: Callable[[str], T], expected: str, fallback: T) -> T:
            text = environ.get(f"TRACECAST_{name}", str(table.get(name, table.get(name.lower(), "")))).strip()
            if not text:
                return fallback
            try:
                return convert(text)
            except ValueError:
                shown = "a secret" if name == "API_TOKEN" else repr(text)
                raise SettingError(f"TRACECAST_{name} is {shown}: expected {expected}.") from None

        udp_host, udp_port = read(
            "UDP_ADDRESS", _address, "host:port, for example 127.0.0.1:2000", (default.udp_host, default.udp_port)
        )
        return cls(
            home=read("HOME", Path, "a folder", default.home).expanduser(),
            udp_host=udp_host,
            udp_port=udp_port,
            pipeline=read("PIPELINE", _switch, "on or off", default.pipeline),
            price_api=read("PRICE_API", _base_url, "a scheme and host, for example http://127.0.0.1:9000", None),
            price_interval_s=read("PRICE_INTERVAL_S", _at_least(1.0), "seconds, 1 or more", default.price_interval_s),
            source=read("SOURCE", _source, "sample, live, otlp, aws:<region> or file:<name>", default.source),
            aws_regions=read("AWS_REGION", _regions, "regions joined by commas, for example eu-west-1,us-east-1", ()),
            xray_filter=read("XRAY_FILTER", str, "a filter expression of X-Ray", None),
            xray_endpoint=read(
                "XRAY_ENDPOINT", _base_url, "a scheme and host, for example http://127.0.0.1:9000", None
            ),
            pull_max_traces_per_day=read(
                "PULL_MAX_TRACES_PER_DAY",
                _whole,
                "a whole number of traces, for example 200000",
                default.pull_max_traces_per_day,
            ),
            import_max_bytes=read(
                "IMPORT_MAX_BYTES", _whole, "a whole number of bytes, for example 2147483648", default.import_max_bytes
            ),
            sampling_rate=read("SAMPLING_RATE", _share, "a share from 0 to 1, for example 0.25", default.sampling_rate),
            retention_days=read("RETENTION_DAYS", _days, "a whole number of days up to 36500, for example 30", 0),
            api_token=read("API_TOKEN", _token, "text without blanks", None),
            log_level=read("LOG_LEVEL", _log_level, "DEBUG, INFO, WARNING or ERROR", default.log_level),
            server_address=environ.get("STREAMLIT_SERVER_ADDRESS", default.server_address),
            server_port=int(environ.get("STREAMLIT_SERVER_PORT", default.server_port)),
            login="auth" in secrets,
        )


@functools.cache
def current() -> Settings:
    """The settings of this process, read at the first call."""
    return Settings.load(os.environ, _secrets(_ROOT / ".streamlit" / "secrets.toml"))


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without port) is this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _secrets(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path.name} can't be read as TOML: {error}.") from error


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not 0 <= int(port) <= 65535:
        raise ValueError(text)
    return host, int(port)


def _switch(text: str) -> bool:
    return {"on": True, "off": False}[text.lower()] if text.lower() in ("on", "off") else _refuse(text)


def _base_url(text: str) -> str:
    return text.rstrip("/") if re.fullmatch(r"https?://[^/\s]+/?", text) else _refuse(text)


def _at_least(least: float) -> Callable[[str], float]:
    return lambda text: float(text) if least <= float(text) < float("inf") else _refuse(text)


def _source(text: str) -> str:
    return text if _SOURCE.fullmatch(text) else _refuse(text)


def _share(text: str) -> float:
    return float(text) if 0 <= float(text) <= 1 else _refuse(text)


def _whole(text: str) -> int:
    return int(text) if int(text) >= 0 else _refuse(text)


def _days(text: str) -> int:
    return _whole(text) if _whole(text) <= 36_500 else _refuse(text)


def _regions(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    return names if names and all(_REGION.fullmatch(name) for name in names) else _refuse(text)


def _token(text: str) -> str:
    return text if re.fullmatch(r"\S+", text) else _refuse(text)


def _log_level(text: str) -> str:
    return text.upper() if text.upper() in ("DEBUG", "INFO", "WARNING", "ERROR") else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)
