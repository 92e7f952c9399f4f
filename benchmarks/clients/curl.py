"""
curl, as one of the downloaders. C{python -m benchmarks.clients.curl PORT download SIZE}

Its figures are those of one process that takes the huge body, less those of another one that takes 512 KiB of it, so
that neither its start counts nor what its libraries take.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

# How often its memory is looked at, in seconds.
_INTERVAL = 0.01
# What the other process takes, in bytes, and in a second.
_LEAST = 512 * 1024


def take(url: str, *options: str) -> tuple[int, float, int]:
    """
    Let curl take a body.

    @return: its size, in bytes; CPU time, in seconds; the most resident memory there was, in bytes.
    """
    before = _children()
    process = subprocess.Popen(
        ["curl", *options, "--silent", "--fail", "--output", "/dev/null", "--write-out", "%{size_download}", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    most = 0
    while process.poll() is None:
        # What the kernel tells of ended children has the memory of their parent among it.
        with suppress(OSError):
            found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
            most = max(most, 1024 * int(found[1]) if found else 0)
        time.sleep(_INTERVAL)
    told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"curl ended with status {process.returncode}")
    return int(told), _children() - before, most


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(port: int, size: int) -> None:
    before = f"http://127.0.0.1:{port}"
    # More than one read, and slow enough that it can be looked at meanwhile.
    _, idle, least = take(f"{before}/huge.bin", "--range", f"0-{_LEAST - 1}", "--limit-rate", str(_LEAST))
    print("begin", flush=True)
    began = time.perf_counter()
    got, cpu, most = take(f"{before}/huge.bin")
    seconds = time.perf_counter() - began
    if got != size:
        raise SystemExit(f"/huge.bin gave {got} bytes instead of {size}")
    print(json.dumps({"cpu": cpu - idle, "seconds": seconds, "growth": most - least}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[3]))
