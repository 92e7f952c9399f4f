"""
What each twistd command runs: its options and its service, one module a command.
"""

import os
import sys

if "WASINET_WORKER" in os.environ and "LISTEN_PID" in os.environ:
    # A worker has systemd's sockets by way of its parent, by the same numbers. Twisted looks when it is imported.
    os.environ["LISTEN_PID"] = str(os.getpid())

try:
    # Some of what these import is refused by WASINET_SPEED or WASINET_FAST.
    from .. import net, server  # noqa: F401
except ImportError as error:
    if error.name not in ("wasinet_twisted._fast", "wasinet_twisted._speed"):
        raise
    # In one line, as any other wrong setting of a command.
    print(f"wasinet_twisted: {error}", file=sys.stderr)
    raise SystemExit(1) from None
