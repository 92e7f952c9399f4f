"""
What C{wasinet bench} takes.
"""

from __future__ import annotations

import argparse
from math import isfinite
from typing import TYPE_CHECKING

from .frame import FILE, addCommand, field, seconds

if TYPE_CHECKING:
    from .frame import Subparsers

# So many connections have a port each, whatever the system's range is.
_MOST_CONNECTIONS = 60_000
_HIGHEST_RATE = 1e6


def _connections(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= _MOST_CONNECTIONS):
        raise argparse.ArgumentTypeError(f"a number of connections is one from 1 to {_MOST_CONNECTIONS}, not {text!r}")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (isfinite(value) and 0 < value <= _HIGHEST_RATE):
        raise argparse.ArgumentTypeError(
            f"a rate is a number of requests a second above 0 and up to {_HIGHEST_RATE:,.0f}, not {text!r}"
        )
    return value


def addParser(subparsers: Subparsers) -> None:
    """
    Add it.
    """
    parser = addCommand(
        subparsers,
        "bench",
        "measure an HTTP server: requests a second, and how long they take",
        [
            "wasinet bench http://localhost:8000/ -c 50 -d 10",
            "wasinet bench http://localhost:8000/ -R 2000 --json > found.json",
            "wasinet bench http://localhost:8000/items --data @item.json -H X-Key:abc",
        ],
        "Each connection makes one request after the other; redirects are not followed.\n"
        "Without a rate, a slow server gets fewer requests, and latencies are those of\n"
        "the requests that were made. With a rate, they count from when each request\n"
        "was due, so that a server that falls behind shows it: they are corrected for\n"
        "coordinated omission. Ctrl-C ends it early, and prints what there is.\n\n"
        "exit status: 0 something was answered, whatever its status; else 6 unknown\n"
        "host, 7 refused, 8 malformed response, 18 response cut, 28 timed out,\n"
        "35 no TLS, 56 connection broken, 60 certificate not accepted",
    )
    parser.add_argument("url", metavar="URL", help="http or https")
    parser.add_argument(
        "-c", "--connections", metavar="N", type=_connections, default=50, help="how many there are (default: 50)"
    )
    parser.add_argument(
        "-d", "--duration", metavar="S", type=seconds, default=10.0, help="for how long, in seconds (default: 10)"
    )
    parser.add_argument(
        "-R",
        "--rate",
        metavar="N",
        type=_rate,
        help="requests a second, by all connections together (default: all they can)",
    )
    parser.add_argument("-m", "--method", metavar="M", help="the method (default: GET, with --data POST)")
    parser.add_argument(
        "-H", "--header", metavar="'N: V'", type=field, action="append", default=[], help="a field; may be repeated"
    )
    data = parser.add_argument("--data", metavar="DATA|@FILE", help="the body of each request")
    data.complete = FILE  # type: ignore[attr-defined]
    parser.add_argument(
        "--timeout", metavar="S", type=seconds, default=30.0, help="for each request, in seconds (default: 30)"
    )
    authorities = parser.add_argument(
        "--ca", metavar="FILE", help="trust the certificates of this PEM file instead of the system's"
    )
    authorities.complete = FILE  # type: ignore[attr-defined]
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
