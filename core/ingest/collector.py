"""The collector: X-Ray segments by UDP and sampling rules by TCP on one address, as the X-Ray daemon has it.

https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon
"""

import functools
import logging
import socket
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime

from core import activity
from core.errors import MalformedSegment, SettingError, StoreError, StoreFull
from core.ingest import packets
from core.ingest.sampling import SamplingServer
from core.ingest.udp import WANTED_BUFFER_BYTES, Receiver
from core.settings import Settings
from core.spans import Span
from core.store import Store

__all__ = ["Collector"]

_SOURCE = "live"
_CHUNK = 200  # documents between two looks at whether a burst comes in
_BATCH = 10 * _CHUNK  # documents a commit, at most
_TICK_S = 0.1  # a segment waits this long for others to share its commit
_PAUSE_S = 0.01
_STOP_S = 1.5  # what is still queued then is dropped, and counted

_log = logging.getLogger(__name__)
_note = functools.partial(activity.alter, _SOURCE)


class Collector:
    """Receives the source `live` into `store` from `start` to `stop`, and tells `activity` what became of it all."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._running: tuple[SamplingServer, Receiver, threading.Thread] | None = None
        self._stopping = threading.Event()
        self._stop_by = float("inf")  # monotonic seconds
        self._told: Counter[str] = Counter()  # what `activity` knows of the receiver's counts
        self._state = "off"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where segments are received; while the collector is off, those of the settings."""
        return self._running[0].address if self._running else (self._settings.udp_host, self._settings.udp_port)

    def start(self) -> None:
        """Open both doors, then work in the background; an address that can't be had is reported, not raised."""
        try:
            udp, sampling = _open(self._settings)
        except SettingError as error:
            _log.error("%s", error)
            activity.fail("collector", str(error))
            activity.report("collector", state="off", address=_shown(*self.address))
            return
        receiver = Receiver(udp)
        worker = threading.Thread(target=self._work, args=(receiver,), name="collector-store", daemon=True)
        self._running = sampling, receiver, worker
        activity.report(
            "collector",
            address=_shown(*self.address),
            buffer_bytes=receiver.buffer_bytes,
            buffer_hint=_buffer_hint(receiver.buffer_bytes),
            sampling_rate=self._settings.sampling_rate,
        )
        self._enter("on")
        for thread in self._running:
            thread.start()

    def stop(self) -> None:
        """Close both doors and store what has arrived; what two seconds do not suffice for is dropped and counted."""
        if self._running is None:
            return
        sampling, receiver, worker = self._running
        self._running = None
        self._stop_by = time.monotonic() + _STOP_S
        sampling.stop()
        receiver.stop()
        self._stopping.set()
        worker.join()
        receiver.close()
        self._enter("off")

    def _work(self, receiver: Receiver) -> None:
        """Packets from the queue to the store, batch by batch, until stopped and the queue is empty."""
        while time.monotonic() < self._stop_by:
            stopping = self._stopping.is_set()  # asked before the queue: then nothing comes into it any more
            documents, empty = self._next_batch(receiver)
            self._account(receiver)
            self._append(documents)
            if empty and stopping:
                return
            if empty:
                self._stopping.wait(_TICK_S)
        while left := receiver.take(_BATCH):
            activity.drop(_SOURCE, "stopped", len(left))

    def _next_batch(self, receiver: Receiver) -> tuple[list[list[Span]], bool]:
        """The spans of the oldest documents in the queue, and whether it is empty now."""
        documents: list[list[Span]] = []
        while len(documents) < _BATCH:
            while receiver.in_burst():
                time.sleep(_PAUSE_S)
            received = receiver.take(_CHUNK)
            documents += _documents(received)
            if len(received) < _CHUNK:
                return documents, True
        return documents, False

    def _account(self, receiver: Receiver) -> None:
        """Tell `activity` what the receiver has counted since the last call."""
        counted = Counter(received=receiver.received, queue_full=receiver.overflowed, kernel=receiver.kernel_drops())
        for name, new in (counted - self._told).items():
            if name == "received":
                activity.count(_SOURCE, name, new)
            else:
                activity.drop(_SOURCE, name, new)
        self._told = counted

    def _append(self, documents: list[list[Span]]) -> None:
        """Make the spans of each document durable, or count why not."""
        if not documents:
            return
        try:
            self._store.append([span for document in documents for span in document])
        except StoreFull as error:
            activity.drop(_SOURCE, "disk_full", len(documents))
            self._enter("full", str(error))
        except StoreError as error:
            activity.drop(_SOURCE, "store_error", len(documents))
            self._enter("failing", str(error))
        except Exception:  # one document that the store can't take must not cost the others, nor end the thread
            if len(documents) > 1:
                middle = len(documents) // 2
                self._append(documents[:middle])
                self._append(documents[middle:])
                return
            _unforeseen("Storing")
        else:
            activity.count(_SOURCE, "stored", len(documents))
            self._enter("on")

    def _enter(self, state: str, sentence: str | None = None) -> None:
        """Report a change of state, and why."""
        if state != self._state:
            self._state = state
            activity.report("collector", state=state)
            if sentence:
                _log.error("%s", sentence)
                activity.fail("collector", sentence)


def _documents(received: list[bytes]) -> list[list[Span]]:
    """The spans of each packet's document; packets that are refused are counted instead."""
    now = datetime.now(UTC).replace(tzinfo=None)
    documents = []
    for packet in received:
        try:
            documents.append(packets.parse(packet, _SOURCE, now, _note))
        except MalformedSegment as refusal:
            activity.refuse(_SOURCE, refusal.reason, message=str(refusal))
        except Exception:  # a packet that nobody foresaw must cost itself only, not the thread and all that follow
            _unforeseen("Reading")
    return documents


def _unforeseen(step: str) -> None:
    """Count and log the exception being handled."""
    _log.exception("%s a segment failed.", step)
    activity.refuse(_SOURCE, "internal", message=f"{step} it failed inside Tracecast; the log says where.")


def _open(settings: Settings) -> tuple[socket.socket, SamplingServer]:
    """A UDP socket and a TCP server on one address; `SettingError` when it can't be had."""
    name = _shown(settings.udp_host, settings.udp_port)
    try:
        family, address = _resolved(settings.udp_host, settings.udp_port)
    except (OSError, ValueError) as error:  # ValueError: what can't be a host name at all
        raise SettingError(f"TRACECAST_UDP_ADDRESS is {name}: no such host ({error}).") from error
    for _ in range(1 if settings.udp_port else 10):  # port 0: what is free for UDP may be taken for TCP
        udp, udp_fate = _bound(family, address)
        tcp_address = udp.getsockname()[:2] if udp else address
        tcp, tcp_fate = _listening(family, tcp_address, settings.sampling_rate)
        if udp and tcp:
            return udp, tcp
        if udp:
            udp.close()
        if tcp:
            tcp.server_close()
    raise SettingError(
        f"TRACECAST_UDP_ADDRESS is {name}, which can't be had (UDP: {udp_fate}; TCP: {tcp_fate}): "
        "stop the program that holds it, or set another address, for example 127.0.0.1:2001."
    )


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The address to bind; IPv4 where there is a choice, because some SDKs send to no other."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), port)


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> tuple[socket.socket | None, str]:
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.bind(address)
    except OSError as error:
        udp.close()
        return None, str(error.strerror)
    return udp, "free"


def _listening(
    family: socket.AddressFamily, address: tuple[str, int], rate: float
) -> tuple[SamplingServer | None, str]:
    try:
        return SamplingServer(address, family, rate), "free"
    except OSError as error:
        return None, str(error.strerror)


def _shown(host: str, port: int) -> str:
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _buffer_hint(buffer_bytes: int) -> str | None:
    """What to do about a receive buffer that is smaller than wanted."""
    if buffer_bytes >= WANTED_BUFFER_BYTES or sys.platform != "linux":
        return None
    return f"sysctl -w net.core.rmem_max={WANTED_BUFFER_BYTES}"
