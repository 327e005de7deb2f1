"""Our HTTP side over a real socket."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from core import api


@contextmanager
def serving() -> Iterator[str]:
    """Our routes and their guard on a free port of this machine; yields the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=api.routes, middleware=api.middleware)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
