"""The whole program as a process of its own, for tests in a browser and for benchmarks."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

__all__ = ["PATIENCE_S", "running", "status"]

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 90  # a start or a page takes seconds; the machine may have other things to do


@contextmanager
def running(
    home: Path, ready: Callable[[str], bool] | None = None, script: Path = ROOT / "streamlit_app.py", **settings: str
) -> Iterator[str]:
    """The program, started as its user would, with its store in `home`; its address once `ready` (the sample is there).

    `settings` are `TRACECAST_*` without the prefix; none is taken from the environment. Another `script` is a peer.
    """
    port, udp_port = _free_port(), _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRACECAST_", "AWS_"))}
    environment |= {
        "TRACECAST_HOME": str(home),
        "TRACECAST_UDP_ADDRESS": f"127.0.0.1:{udp_port}",
        "STREAMLIT_SERVER_PORT": str(port),
        **{f"TRACECAST_{name}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: ready(address) if ready else "sample" in status(address)["sources"], process, home / "log")
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for `true` to hold; `RuntimeError` with what the program said when it does not."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if true():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"The program did not start: {log.read_text()[-2000:]}")


def _free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status(address: str) -> dict[str, Any]:
    """What the program says of itself."""
    with urlopen(f"{address}/api/v1/status", timeout=5) as answer:
        told: dict[str, Any] = json.load(answer)
    return told
