"""
What C{wasinet get}, C{head}, C{post}, C{put} and C{delete} take.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .frame import FILE, addCommand, field, seconds

if TYPE_CHECKING:
    from .frame import Parser, Subparsers

# As many redirects as the option may allow.
_MOST_REDIRECTS = 1000

_SUMMARIES = {
    "get": (
        "fetch a URL, and print it or save it",
        [
            "wasinet get https://example.org/",
            "wasinet get https://example.org/big.iso -o big.iso",
            "wasinet get https://example.org/big.iso -o big.iso --resume",
        ],
    ),
    "head": (
        "print the head of the response that a GET of the URL would have",
        ["wasinet head https://example.org/"],
    ),
    "post": (
        "send data to a URL, and print the response",
        [
            "wasinet post https://example.org/login -d name=Ada",
            'wasinet post https://example.org/items --json \'{"name": "Ada"}\'',
        ],
    ),
    "put": ("store data at a URL", ["wasinet put https://example.org/photo -d @photo.jpg -H Content-Type:image/jpeg"]),
    "delete": ("delete what is at a URL", ["wasinet delete https://example.org/items/7 --fail"]),
}

_NOTES = (
    "exit status: 0 there was a response, 4 an extra is not installed, 5 unknown\n"
    "proxy, 6 unknown host, 7 refused, 8 malformed response, 18 response cut,\n"
    "22 --fail and a status from 400 on, 23 can't write, 26 can't read, 28 timed\n"
    "out, 33 can't be resumed, 35 no TLS, 47 too many redirects, 56 connection\n"
    "broken, 60 certificate not accepted, 63 too large"
)


def _redirects(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= _MOST_REDIRECTS):
        raise argparse.ArgumentTypeError(f"redirects are a number from 0 to {_MOST_REDIRECTS}, not {text!r}")
    return int(text)


def addParser(subparsers: Subparsers) -> None:
    """
    Add all five.
    """
    for name, (summary, examples) in _SUMMARIES.items():
        parser = addCommand(subparsers, name, summary, examples, _NOTES, module="transfer")
        parser.add_argument("url", metavar="URL", help="http or https")
        _addRequest(parser)
        _addOutput(parser, name)
        _addConnection(parser)


def _addRequest(parser: Parser) -> None:
    group = parser.add_argument_group("the request")
    group.add_argument(
        "-H", "--header", metavar="'N: V'", type=field, action="append", default=[], help="a field; may be repeated"
    )
    kinds = group.add_mutually_exclusive_group()
    data = kinds.add_argument(
        "-d",
        "--data",
        metavar="DATA|@FILE",
        help="the body: DATA as a form's, a file, or the standard input (@-) as it comes",
    )
    data.complete = FILE  # type: ignore[attr-defined]
    asJson = kinds.add_argument("--json", metavar="DATA|@FILE", help="the body, which is JSON")
    asJson.complete = FILE  # type: ignore[attr-defined]
    following = group.add_mutually_exclusive_group()
    following.add_argument("-L", "--location", action="store_true", help="follow redirects, as is done anyway")
    following.add_argument("--no-redirects", action="store_true", help="print a redirect instead of following it")
    following.add_argument(
        "--max-redirects", metavar="N", type=_redirects, default=20, help="how many are followed (default: 20)"
    )


def _addOutput(parser: Parser, name: str) -> None:
    group = parser.add_argument_group("the response")
    where = group.add_mutually_exclusive_group()
    file = where.add_argument("-o", "--output", metavar="FILE", help="write the body to FILE (-: the standard output)")
    file.complete = FILE  # type: ignore[attr-defined]
    where.add_argument(
        "-O", "--remote-name", action="store_true", help="write the body to a file named as the last part of the URL"
    )
    if name == "get":
        group.add_argument("--resume", action="store_true", help="go on with a FILE whose transfer was interrupted")
    else:
        parser.set_defaults(resume=False)
    group.add_argument("-i", "--include", action="store_true", help="print the head, too")
    group.add_argument("-f", "--fail", action="store_true", help="print no body of a status from 400 on, and exit 22")
    codings = group.add_mutually_exclusive_group()
    codings.add_argument(
        "--compressed", action="store_true", help="ask for a compressed body for a FILE, too; it is written decoded"
    )
    codings.add_argument("--raw", action="store_true", help="leave a compressed body as it is")
    group.add_argument("-v", "--verbose", action="store_true", help="tell what is sent and received")
    group.add_argument("--timings", action="store_true", help="tell how long the phases took")


def _addConnection(parser: Parser) -> None:
    group = parser.add_argument_group("the connection")
    group.add_argument(
        "-m", "--timeout", "--max-time", metavar="S", type=seconds, help="seconds for all of it (default: no end)"
    )
    group.add_argument(
        "--connect-timeout",
        metavar="S",
        type=seconds,
        help="seconds each to look up the name, to connect and for TLS (default: 10, 30, 30)",
    )
    group.add_argument(
        "-x",
        "--proxy",
        metavar="URL",
        help="http, https, socks5 or socks5h; '' is none (default: as http_proxy, https_proxy, all_proxy and no_proxy"
        " in the environment have it)",
    )
    for names, metavar, text in (
        (("--unix-socket",), "PATH", "connect to this socket"),
        (("--cacert", "--ca"), "FILE", "trust the certificates of this PEM file instead of the system's"),
        (("--cert",), "FILE", "a PEM file with the certificate to show, and its key"),
        (("--key",), "FILE", "the key, if it isn't in the file of --cert"),
    ):
        option = group.add_argument(*names, metavar=metavar, help=text)
        option.complete = FILE  # type: ignore[attr-defined]
