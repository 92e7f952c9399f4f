"""
What C{wasinet nc} takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .frame import FILE, addCommand, port, seconds

if TYPE_CHECKING:
    from .frame import Subparsers


def addParser(subparsers: Subparsers) -> None:
    """
    Add it.
    """
    parser = addCommand(
        subparsers,
        "nc",
        "send the standard input to a TCP port, and print what comes back",
        [
            "wasinet nc localhost 8000 < request.txt",
            "wasinet nc --tls example.org 443",
            "wasinet nc --listen 127.0.0.1 9000 > received",
        ],
        "Each direction ends by itself: the end of the standard input is told to the\n"
        "peer, whose answer still comes. Over TLS there is no such half-close: the\n"
        "peer is not told, and the command goes on until the peer closes.\n\n"
        "exit status: 0 done, 6 unknown host, 7 refused, 28 timed out, 35 no TLS,\n"
        "56 connection broken, 60 certificate not accepted",
    )
    parser.add_argument("host", metavar="HOST", help="a name or an IP address")
    parser.add_argument("port", metavar="PORT", type=port, help="a port")
    parser.add_argument(
        "--timeout", metavar="S", type=seconds, default=30.0, help="seconds to connect within (default: 30)"
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--tls", action="store_true", help="speak TLS; the certificate is verified")
    kinds.add_argument("--listen", action="store_true", help="wait for one connection to HOST and PORT instead")
    authorities = parser.add_argument(
        "--ca", metavar="FILE", help="trust the certificates of this PEM file instead of the system's"
    )
    authorities.complete = FILE  # type: ignore[attr-defined]
