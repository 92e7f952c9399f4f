"""
The exit status of a process whose reactor has run: neither twistd nor twist has a word for one that has failed.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys

_status = 0


def prepare() -> None:
    """
    Have L{fail} honoured. It ends the process without what was registered with C{atexit} before this: so call it before
    an app is imported, whose own is to be called.
    """
    atexit.register(_end)


def fail(status: int = 1) -> None:
    """
    Let the process end with this status, once it ends.
    """
    global _status
    _status = status


def _end() -> None:
    if _status:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                # Nobody reads it any more.
                continue
        os._exit(_status)
