"""
An app for what measures workers: it answers at once, or after some CPU time of its own (C{APP_SECONDS}); but the one
process that was the first to make the file C{SLOW_WORKER} waits.
"""

from __future__ import annotations

import os
import time

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import Request


def _isFirst(path: str | None) -> bool:
    if path is None:
        return False
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


# How long the slow one takes, in seconds.
_SLOW = 0.01 if _isFirst(os.environ.get("SLOW_WORKER")) else 0.0
# How much CPU time each request takes beside the server's, in seconds.
_OWN = float(os.environ.get("APP_SECONDS", "0"))


def handler(request: Request) -> WasiResponse:
    """
    Answer with who has answered.
    """
    if _SLOW:
        time.sleep(_SLOW)
    if _OWN:
        until = time.thread_time() + _OWN
        while time.thread_time() < until:
            pass
    return WasiResponse(200, {"Content-Type": "text/plain"}, b"%d" % os.getpid())
