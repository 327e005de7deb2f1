"""The collector under load: a two-second burst of 50,000 segments a second, then faster ones until some are lost.

`python -m benchmarks.collector [rate …]`. A segment has one annotated subsegment; the sender is another process, so the
two share the machine's cores with each other and with whatever else runs.
"""

import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from core import activity
from core.ingest.collector import Collector
from core.settings import Settings
from core.store import Store

SECONDS = 2.0
GOAL = 50_000  # segments a second
RATES = (GOAL, 75_000, 100_000, 125_000, 150_000, 200_000)


def packets(count):
    """As the X-Ray SDK for Python writes them, each a trace of its own."""
    now = time.time()
    annotations = {
        "flag": "average",
        "price_usd": 91_234.5,
        "processing_time_ms": 123.4,
        "shard_id": "coinbase",
        "error": False,
        "hour_str": "2026-11-24T13:00:00",
        "data_volume_bytes": 1834,
    }
    subsegment = {"id": "a0000000000000aa", "name": "store", "start_time": now, "end_time": now + 0.1}
    segment = {
        "id": "SEGMENT",
        "trace_id": "1-5759e988-TRACE",
        "name": "bench",
        "start_time": now,
        "end_time": now + 0.2,
    }
    segment["subsegments"] = [subsegment | {"annotations": annotations}]
    text = '{"format": "json", "version": 1}\n' + json.dumps(segment)
    ids = random.Random(1)
    return [
        text.replace("SEGMENT", f"{ids.getrandbits(64):016x}").replace("TRACE", f"{ids.getrandbits(96):024x}").encode()
        for _ in range(count)
    ]


def send(port, rate):
    """Send for two seconds, a millisecond's worth at a time; prints the rate that was reached."""
    prepared = packets(int(rate * SECONDS))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        began, sent = time.perf_counter(), 0
        while sent < len(prepared):
            due = min(len(prepared), int((time.perf_counter() - began) * rate) + 1)
            for packet in prepared[sent:due]:
                sender.send(packet)
            sent = due
            time.sleep(0.001)
        print(round(sent / (time.perf_counter() - began)))


def burst(folder, rate):
    """One burst into a new store; returns what was sent, received, dropped, stored, and the seconds until all was."""
    activity.reset()
    with Store(folder / f"{rate}.duckdb") as store:
        collector = Collector(Settings(udp_port=0), store)
        collector.start()
        command = [sys.executable, "-m", "benchmarks.collector", "send", str(collector.address[1]), str(rate)]
        sender = subprocess.run(command, capture_output=True, text=True, check=True)
        ended = time.perf_counter()
        count = int(rate * SECONDS)
        while not accounted(count) and time.perf_counter() < ended + 60:
            time.sleep(0.02)
        drained_s = time.perf_counter() - ended
        facts = activity.snapshot()
        collector.stop()
        rows = int(store.query("SELECT count(*) AS n FROM spans WHERE kind = 'segment'")["n"].iloc[0])
    return {
        "rate": int(sender.stdout),
        "sent": count,
        "stored": rows,
        "dropped": facts["dropped"].get("live", {}),
        "refused": facts["refused"].get("live", {}),
        "drained_s": drained_s,
        "buffer_bytes": facts["components"]["collector"]["buffer_bytes"],
    }


def accounted(count):
    """Whether `activity` knows what became of `count` segments."""
    facts = activity.snapshot()
    tables = (facts["refused"].get("live", {}), facts["dropped"].get("live", {}))
    return facts["counts"].get("live", {}).get("stored", 0) + sum(sum(t.values()) for t in tables) >= count


def run(rates: Sequence[int] = RATES) -> None:
    """Print a line per burst, until one has losses."""
    print(f"UDP, bursts of {SECONDS:.0f} s, one annotated subsegment a segment")
    with tempfile.TemporaryDirectory() as folder:
        for rate in rates:
            found = burst(Path(folder), rate)
            lost = found["sent"] - found["stored"]
            print(
                f"{found['rate']:7,}/s: sent {found['sent']:7,}, stored {found['stored']:7,}, lost {lost:6,}"
                f" {found['dropped'] | found['refused'] or ''}, all stored {found['drained_s']:.1f} s after the last;"
                f" buffer {found['buffer_bytes'] / 2**20:.1f} MiB"
            )
            if lost:
                break


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        send(int(sys.argv[2]), int(sys.argv[3]))
    else:
        run([int(rate) for rate in sys.argv[1:]] or RATES)
