"""
What command lines say of a program, read. C{wasinet run} and C{twistd wasinet-js} take the same.
"""

from __future__ import annotations

import re

from ..errors import InvalidArgument

_SIZE = re.compile(r"([1-9][0-9]{0,9})([KMG]?)", re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_PORTS = re.compile(r"[0-9]{1,5}(,[0-9]{1,5})*", re.ASCII)


def pairOf(text: str) -> tuple[str, str]:
    """
    @raise InvalidArgument: it is not like C{THIS=THAT}.
    """
    left, sign, right = text.partition("=")
    if not (left and sign and right):
        raise InvalidArgument(f"it is like THIS=THAT, not {text!r}")
    return left, right


def movedPort(text: str) -> tuple[int, str]:
    """
    @return: a port, and the endpoint to listen on instead.
    @raise InvalidArgument: it is not like C{PORT=ENDPOINT}.
    """
    port, endpoint = pairOf(text)
    return portsOf(port)[0], endpoint


def portsOf(text: str) -> list[int]:
    """
    @raise InvalidArgument: these are no ports with commas between them.
    """
    if not (_PORTS.fullmatch(text) and all(int(each) < 65536 for each in text.split(","))):
        raise InvalidArgument(f"ports are numbers from 0 to 65535, with commas between them, not {text!r}")
    return [int(each) for each in text.split(",")]


def addressesOf(text: str) -> list[str]:
    """
    Return addresses that have commas between them.
    """
    return [each for each in text.split(",") if each]


def sizeOf(text: str) -> int:
    """
    @return: bytes.
    @raise InvalidArgument: it is no size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"a size is a number of bytes, or like 64M, not {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def checkedTarget(pair: tuple[str, str]) -> tuple[str, str]:
    """
    @raise InvalidArgument: one of the two is no C{host:port}.
    """
    # Late: options are read before anything of Twisted's is there.
    from ..net.addresses import splitAddress

    for each in pair:
        splitAddress(each)
    return pair


def trusted(path: str | None) -> str | None:
    """
    Look at a file of certificates now: a connection does when it is made.

    @raise InvalidArgument: it can't be used.
    """
    from ..net import TlsClient

    if path is not None:
        try:
            TlsClient("localhost", caCertificates=path)
        except InvalidArgument as error:
            raise InvalidArgument(f"--cacert {path}: {error}") from error
    return path
