"""Our own X-Ray recorder: the real SDK, sending to our own collector whatever the environment says.

Importing this module imports the SDK, which reads the environment as it is imported and raises on some of it.
"""

import socket

from aws_xray_sdk import global_sdk_config
from aws_xray_sdk.core.emitters.udp_emitter import UDPEmitter
from aws_xray_sdk.core.recorder import AWSXRayRecorder
from aws_xray_sdk.core.sampling.local.sampler import LocalSampler

from core import activity

__all__ = ["enabled", "recorder"]


class _Emitter(UDPEmitter):  # type: ignore[misc]  # the SDK is shipped without types
    """Sends to one address. The SDK's own emitter prefers `AWS_XRAY_DAEMON_ADDRESS` and knows IPv4 only."""

    def __init__(self, host: str, port: int) -> None:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._ip: str = str(address[0])  # under these names the SDK's own methods read them
        self._port: int = port
        self._address = address
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def set_daemon_address(self, address: str) -> None:
        """Keep the address: the recorder passes on what it read from the environment."""

    def _send_data(self, data: str) -> None:
        try:
            self._socket.sendto(data.encode(), self._address)
        except OSError as error:
            activity.drop("live", "not_sent")
            activity.fail("pipeline", f"A trace could not be sent to {self._ip}:{self._port}: {error.strerror}.")

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def enabled() -> bool:
    """Whether the SDK records at all; `AWS_XRAY_SDK_ENABLED` can switch it off."""
    return bool(global_sdk_config.sdk_enabled())


def recorder(host: str, port: int) -> AWSXRayRecorder:
    """A recorder that samples everything and sends it to `host:port`; it starts no threads. Close its `emitter`.

    Raises `OSError` when the host is unknown, and the SDK's own exception on a bad `AWS_XRAY_DAEMON_ADDRESS`.
    """
    emitter = _Emitter(host.strip("[]"), port)
    own = AWSXRayRecorder()
    own.emitter._socket.close()  # the recorder opens one of the SDK's emitters, whatever it is given later
    own.configure(sampling=False, sampler=LocalSampler(), emitter=emitter, context_missing="IGNORE_ERROR")
    return own
