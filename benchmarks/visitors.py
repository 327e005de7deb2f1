"""Ten visitors at once, each moving the threshold: from the move to the last word of the page's answer.

They speak Streamlit's own protocol over WebSockets, as ten browsers would, without ten browsers taking the processor.
The peer is one visitor alone.
"""

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.typing import Origin, Subprotocol

from tests.running import running

VISITORS = 10
MOVES = 15  # of each visitor, a second apart on average


class Visitor:
    """One session of the page Overview."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._slider = ""

    async def open(self) -> None:
        """Ask for the page, until it is there."""
        await self._answered(BackMsg(rerun_script=ClientState(query_string="")))

    async def move(self, threshold: float) -> float:
        """Milliseconds until the page has answered."""
        moved = BackMsg()
        widget = moved.rerun_script.widget_states.widgets.add()
        widget.id = self._slider
        widget.double_array_value.data.append(threshold)
        began = time.perf_counter()
        await self._answered(moved)
        return (time.perf_counter() - began) * 1000

    async def _answered(self, asked: BackMsg) -> None:
        await self._socket.send(asked.SerializeToString())
        while True:
            said = ForwardMsg.FromString(await self._socket.recv(decode=False))
            slider = said.delta.new_element.slider.id
            if "coarse_threshold" in slider:
                self._slider = slider
            if said.WhichOneof("type") == "script_finished":
                return


async def visit(address: str, visitors: int) -> list[float]:
    """What each move took, in milliseconds, of so many visitors at once."""

    async def one(number: int) -> list[float]:
        chosen = random.Random(number)
        stream = f"{address.replace('http', 'ws')}/_stcore/stream"
        spoken, origin = [Subprotocol("streamlit")], Origin(address)
        async with websockets.connect(stream, subprotocols=spoken, max_size=None, origin=origin) as socket:
            visitor, times = Visitor(socket), []
            await visitor.open()
            for _ in range(MOVES):
                await asyncio.sleep(chosen.uniform(0.5, 1.5))
                times.append(await visitor.move(chosen.randrange(100, 200)))
            return times

    return [ms for times in await asyncio.gather(*map(one, range(visitors))) for ms in times]


def run() -> None:
    """Print median and 95th percentile, alone and together."""
    with tempfile.TemporaryDirectory() as home, running(Path(home), PIPELINE="off") as address:
        urlopen(f"{address}/api/v1/anomalies.csv", timeout=60).read()  # until all is fitted
        for visitors in (1, VISITORS):
            times = asyncio.run(visit(address, visitors))
            high = statistics.quantiles(times, n=20)[-1]
            print(f"{visitors:2} at once: median {statistics.median(times):4.0f} ms, 95 % under {high:4.0f} ms", end="")
            print(" (wanted: 500)" if visitors > 1 else "")


if __name__ == "__main__":
    run()
