"""All benchmarks one after the other, each in a process of its own: `python -m benchmarks [folder of series]`."""

import subprocess
import sys

BENCHMARKS = [
    "forecast",
    "accuracy",
    "anomalies",
    "groups",
    "store",
    "drivers",
    "collector",
    "http",
    "otlp",
    "files",
    "xray",
    "traces",
    "app",
    "visitors",
]

for name in BENCHMARKS:
    print(f"\n## {name}\n", flush=True)
    arguments = sys.argv[1:] if name in ("forecast", "anomalies") else []
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=True)
