"""The UDP side of the collector: packets off a socket into a bounded queue, and what was lost on the way."""

import ctypes
import errno
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

__all__ = ["WANTED_BUFFER_BYTES", "Receiver"]

WANTED_BUFFER_BYTES = 8 * 1024 * 1024  # holds 130 ms of 50,000 small packets a second
_QUEUE_BYTES = 128 * 1024 * 1024  # more than two seconds of the same
_PACKET_OVERHEAD_BYTES = 64  # of a bytes object and its place in the queue, so that empty packets are bounded too
_PACKET_BYTES = 64 * 1024  # no UDP packet is larger
_BURST = 20_000  # packets a second; more than this process decodes in the same time
_BATCH = 256  # packets a system call
_AT_ONCE = 8 * 1024  # packets before the queue gets them; the kernel's buffer holds about as many
_MSG_WAITFORONE = 0x10000  # of Linux's sys/socket.h
_KERNEL_TABLES = (Path("/proc/net/udp"), Path("/proc/net/udp6"))
_WAIT_S = 0.1  # how often an idle receiver looks whether it should stop
_STOP_S = 0.5  # a sender that does not pause must not keep it from stopping

_log = logging.getLogger(__name__)


class Receiver:
    """One thread that only receives: the kernel's buffer is small, so nothing may stand between it and the queue.

    `received` and `overflowed` count packets since the start: those that reached the queue, and those that were thrown
    away because it was full. Reading them, `take`, `in_burst` and `kernel_drops` are for one other thread.
    """

    def __init__(self, sock: socket.socket) -> None:
        """`sock` is bound; it is the receiver's from here on."""
        self._socket = sock
        _ask_for_buffer(sock)
        # Time-out in the kernel: Python's own costs a poll() a packet.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(_WAIT_S * 1_000_000)))
        self._read = _many_at_once(sock) if sys.platform == "linux" else _one_by_one(sock)
        self._inode = str(os.fstat(sock.fileno()).st_ino)
        self._queue: deque[bytes] = deque()
        self._bytes_in = self._bytes_out = 0  # each is written by one thread only, so no lock
        self._stopping = False
        self._stop_by = float("inf")  # monotonic seconds
        self._thread = threading.Thread(target=self._receive, name="collector-udp", daemon=True)
        self.received = self.overflowed = 0
        self._looked = time.monotonic(), self.received

    @property
    def buffer_bytes(self) -> int:
        """The receive buffer that the kernel gave, in its own count: on Linux twice what it grants."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self) -> None:
        """Receive what the kernel still holds, then no more. What is queued stays to be taken."""
        self._stop_by = time.monotonic() + _STOP_S
        self._stopping = True
        self._thread.join()

    def close(self) -> None:
        """Free the address; to be called after `stop`."""
        self._socket.close()

    def take(self, most: int) -> list[bytes]:
        """The oldest packets of the queue, at most `most`, without waiting."""
        packets = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
        self._bytes_out += _footprint(packets)
        return packets

    def in_burst(self) -> bool:
        """Whether more arrives, since the last call, than can be decoded, and there is room to keep it for later.

        What is queued can wait; what the kernel has no room for is lost. So decoding should wait, not compete for the
        interpreter's lock.
        """
        now, received = time.monotonic(), self.received
        arrived, elapsed_s = received - self._looked[1], now - self._looked[0]
        self._looked = now, received
        return arrived > _BURST * elapsed_s and self._bytes_in - self._bytes_out < _QUEUE_BYTES // 2

    def kernel_drops(self) -> int:
        """Packets that the kernel threw away since the socket was made; 0 where it does not tell.

        The last column of /proc/net/udp and udp6: https://docs.kernel.org/networking/proc_net_tcp.html
        """
        for table in _KERNEL_TABLES:
            try:
                lines = table.read_text().splitlines()
            except OSError:  # not Linux, or a sandbox that hides it
                continue
            for fields in map(str.split, lines[1:]):
                if fields[9] == self._inode:
                    return int(fields[-1])
        return 0

    def _receive(self) -> None:
        while (self._receive_once() or not self._stopping) and time.monotonic() < self._stop_by:
            pass

    def _receive_once(self) -> int:
        """Move what has arrived into the queue; the number of packets, 0 when none came in time."""
        try:
            packets = self._read()
        except OSError as error:  # such as ENOBUFS when memory is short: it passes, and the door must stay open
            _log.warning("Receiving UDP packets failed: %s.", error)
            time.sleep(_WAIT_S)
            return 0
        size = _footprint(packets)
        if self._bytes_in - self._bytes_out + size > _QUEUE_BYTES:
            self.overflowed += len(packets)
        else:
            self._bytes_in += size
            self.received += len(packets)  # before they can be taken, so that none is stored that was not received
            self._queue.extend(packets)
        return len(packets)


def _footprint(packets: list[bytes]) -> int:
    return sum(map(len, packets)) + len(packets) * _PACKET_OVERHEAD_BYTES


def _ask_for_buffer(sock: socket.socket) -> None:
    """Ask for the wanted buffer; Linux gives what it allows, macOS refuses what it does not, so ask for less."""
    size = WANTED_BUFFER_BYTES
    while size > 64 * 1024:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        except OSError:
            size //= 2
        else:
            return


def _one_by_one(sock: socket.socket) -> Callable[[], list[bytes]]:
    """A function that waits for a packet."""

    def read() -> list[bytes]:
        try:
            return [sock.recv(_PACKET_BYTES)]
        except BlockingIOError:
            return []

    return read


class _Vector(ctypes.Structure):  # struct iovec
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):  # struct mmsghdr, which begins with a struct msghdr
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_int),
        ("length", ctypes.c_uint),
    )


def _many_at_once(sock: socket.socket) -> Callable[[], list[bytes]]:
    """A function that waits for a packet and brings all that have arrived, with Linux's recvmmsg(2).

    Each call of `socket.recv` gives up the interpreter's lock, and a thread that decodes may then keep it for 5 ms: at
    60,000 packets/s one by one lost a third of them. Here only waiting gives it up, and what has arrived by the time
    that it is back is taken in one go.
    """
    libraries = (ctypes.CDLL(None, use_errno=True), ctypes.PyDLL(None, use_errno=True))
    without_lock, with_lock = (library.recvmmsg for library in libraries)
    memory = bytearray(_BATCH * _PACKET_BYTES)  # the kernel gives a page when it is first written to
    view = memoryview(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    offsets = range(0, len(memory), _PACKET_BYTES)
    headers = (_Header * _BATCH)()
    for header, offset in zip(headers, offsets, strict=True):
        header.vectors = ctypes.pointer(_Vector(start + offset, _PACKET_BYTES))
        header.vector_count = 1
    words = memoryview(headers).cast("B").cast("I")
    lengths = words[_Header.length.offset // words.itemsize :: ctypes.sizeof(_Header) // words.itemsize]

    def received(recvmmsg: Callable[..., int], flags: int) -> list[bytes]:
        count = recvmmsg(sock.fileno(), headers, _BATCH, flags, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, os.strerror(number))
        sizes = lengths[:count].tolist()
        return [view[offset : offset + size].tobytes() for offset, size in zip(offsets, sizes, strict=False)]

    def read() -> list[bytes]:
        packets = more = received(without_lock, _MSG_WAITFORONE)
        while more and len(packets) < _AT_ONCE:
            more = received(with_lock, socket.MSG_DONTWAIT)
            packets += more
        return packets

    return read
