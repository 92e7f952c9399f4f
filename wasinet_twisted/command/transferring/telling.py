"""
What C{-i}, C{-v} and C{--timings} tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...client import Report, Response, Timings
from ...errors import LocalProtocolError
from ...http import ResponseHead
from ...net.tls.info import TlsInfo

# What is pasted into reports of bugs is better without these.
_secret = re.compile(r"(?i)((?:proxy-)?authorization: *[^ ]+ ).+").fullmatch
_HIDDEN = "[hidden]"


def shown(text: str) -> str:
    """
    Return a line that does nothing to a terminal.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def headOf(response: Response, safe: bool) -> bytes:
    """
    Return the head of a response, as it came.

    @param safe: for a terminal.
    """
    lines = [f"{response.version} {response.status} {response.reason}".rstrip()]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if safe:
        return "".join(f"{shown(line)}\n" for line in [*lines, ""]).encode("utf-8", "replace")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def linesOf(report: Report) -> Iterator[str]:
    """
    Tell what a request was, and what came of it, as curl does.
    """
    through = "" if report.proxy is None else f" through the proxy {report.proxy}"
    if report.peer is not None:
        again = "once more over the connection" if report.kept else "connected"
        yield f"* {again} to {report.peer}{through}"
    if report.tls is not None:
        yield f"* {_tlsLine(report.tls)}"
    if report.peer is not None or report.timings.connect is not None:
        yield from _requestLines(report)
    if report.head is not None:
        yield from headLines(report.head)


def headLines(head: ResponseHead) -> Iterator[str]:
    """
    Tell a response's head.
    """
    yield shown(f"< {head.version} {head.status} {head.reason}".rstrip())
    for name, value in head.fields():
        yield shown(f"< {name}: {value}")
    yield "<"


def _requestLines(report: Report) -> Iterator[str]:
    try:
        lines = report.sentHead().decode("latin-1").split("\r\n")
    except LocalProtocolError:
        return
    for line in lines[:-1]:
        secret = _secret(line)
        yield shown(f"> {line if secret is None else secret[1] + _HIDDEN}".rstrip())


def _tlsLine(tls: TlsInfo) -> str:
    line = f"{tls.version}, {tls.cipher}"
    certificate = tls.peerCertificate
    if certificate is not None:
        subject, until = certificate.subject.rfc4514_string(), f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        line += f"; certificate of {shown(subject) or 'nobody by name'}, valid until {until}"
    return line


def timingsLine(url: str, timings: Timings) -> str:
    """
    Tell how long the phases have taken.
    """
    names = {
        "resolve": timings.resolve,
        "connect": timings.connect,
        "TLS": timings.tls,
        "first byte": timings.firstByte,
        "total": timings.total,
    }
    told = [f"{name} {value * 1000:.1f} ms" for name, value in names.items() if value is not None]
    return f"* {shown(url)}: {', '.join(told)}"


def sizeText(size: int) -> str:
    """
    Return a number of bytes as people read it.
    """
    value, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{size} bytes" if units[0] == "bytes" else f"{value:.1f} {units[0]}"
