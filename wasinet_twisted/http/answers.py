"""
A server's answers as bytes: what each message needs beside its own fields, by the request and the connection.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import LocalProtocolError
from .asks import CLOSE, asksOf, offersUpgrade, takesTrailers
from .checks import checkStatus, framingOf
from .events import HeadersLike, RequestHead
from .fields import Pair
from .framing import UNTIL_CLOSE, isInterim, isTunnel
from .messages import WasiResponse
from .outgoing import CLOSE_LINE, KEEP_ALIVE_LINE, BodyWriter, encodeAnswerHead, encodeChunk, encodeEnd, framePieces


def persistence(request: RequestHead, goesOn: bool) -> bytes:
    """
    Return the Connection line that a response needs. RFC 9112 section 9.3.
    """
    if not goesOn:
        return CLOSE_LINE
    return KEEP_ALIVE_LINE if request.version == "HTTP/1.0" else b""


def _ownPersistence(response: WasiResponse, request: RequestHead, goesOn: bool) -> bytes:
    # One that says by itself that it is the last needs no second line.
    return b"" if not goesOn and asksOf(response.fields()) & CLOSE else persistence(request, goesOn)


def checkFinal(response: WasiResponse, request: RequestHead) -> None:
    """
    @raise LocalProtocolError: the response doesn't end an exchange, or ends HTTP.
    """
    status = response.status
    checkStatus(status)
    if status < 200:
        raise LocalProtocolError(f"{response!r} is no final response; informational() sends others")
    if isTunnel(status, request.method):
        raise LocalProtocolError(f"{response!r} to a CONNECT would open a tunnel")


def wholeAnswer(response: WasiResponse, request: RequestHead, goesOn: bool, date: bytes) -> bytes:
    """
    Encode a response whose body is there.

    @raise LocalProtocolError: it would not parse back.
    """
    pairs, rest = response._plan(request.method)
    if request.version == "HTTP/1.0" and framingOf(pairs, "HTTP/1.1", None).chunked:
        raise LocalProtocolError("HTTP/1.0 knows no Transfer-Encoding: chunked; leave the field to the server")
    if response._trailers and not takesTrailers(request._asks, request.version):
        # It has chunks, else it would have been refused. RFC 9110 section 6.5.1.
        rest = encodeChunk(response.body) + encodeEnd()
    head = encodeAnswerHead(response.status, response.reason, pairs, date, _ownPersistence(response, request, goesOn))
    return head if request.method == "HEAD" else head + rest


def beginAnswer(response: WasiResponse, request: RequestHead, goesOn: bool, date: bytes) -> tuple[bytes, BodyWriter]:
    """
    Encode the head of a response whose body comes in pieces.

    @return: the head, and what writes the pieces.
    @raise LocalProtocolError: it would not parse back.
    """
    if isinstance(response._body, bytes) and response._body:
        raise LocalProtocolError(f"the body of {response!r} is there already; respond() sends it")
    pairs, framing = response._check()
    response._checkCarries()
    length = framePieces(pairs, framing, request.version, isRequest=False)
    # Without a length and without chunks, the end of the connection is the end of the body.
    goesOn = goesOn and length != UNTIL_CLOSE
    head = encodeAnswerHead(response.status, response.reason, pairs, date, _ownPersistence(response, request, goesOn))
    return head, BodyWriter(length, silent=request.method == "HEAD")


def interimAnswer(request: RequestHead, status: int, headers: HeadersLike) -> bytes:
    """
    Encode an interim response; HTTP/1.0 knows none.

    @raise LocalProtocolError: it is none.
    """
    if not isinstance(status, int) or not isInterim(status) or status < 100:
        raise LocalProtocolError(f"an interim response has a status from 100 to 199, but not 101; not {status!r}")
    return b"" if request.version == "HTTP/1.0" else WasiResponse(status, headers).encode()


def refusal(status: int, reason: str, method: str, date: bytes, fields: Sequence[Pair] = ()) -> tuple[bytes, int]:
    """
    Encode an error as a response of text, the last one of its connection.

    @return: the response, and how long its body is.
    """
    response = WasiResponse(status, [("Content-Type", "text/plain; charset=utf-8"), *fields], f"{reason}\n")
    pairs, body = response._plan(method)
    head = encodeAnswerHead(status, response.reason, pairs, date, CLOSE_LINE)
    return (head, 0) if method == "HEAD" else (head + body, len(body))


def switching(request: RequestHead, protocol: str | None, headers: HeadersLike) -> tuple[int, bytes]:
    """
    Encode the response after which nothing is HTTP: 101, or 200 to a CONNECT.

    @param protocol: one that the request offers in its Upgrade field; L{None} for a CONNECT.
    @return: its status, and the response.
    @raise LocalProtocolError: the request offers nothing like that.
    """
    checkOffer(request, protocol)
    response = WasiResponse(200 if protocol is None else 101, headers)
    if protocol is not None:
        response.setHeader("Upgrade", protocol)
        response.setHeader("Connection", "Upgrade")
    return response.status, response.encode(request.method)


def checkOffer(request: RequestHead, protocol: str | None) -> None:
    """
    @raise LocalProtocolError: the request is no CONNECT, or offers no upgrade to C{protocol}. RFC 9110 section 7.8.
    """
    if protocol is None:
        if request.method != "CONNECT":
            raise LocalProtocolError(f"{request!r} is no CONNECT")
        return
    offered = (request.getHeader("Upgrade") or "").split(",") if offersUpgrade(request._asks, request.version) else ()
    if protocol.lower() not in [member.strip(" \t").lower() for member in offered]:
        raise LocalProtocolError(f"{request!r} offers no upgrade to {protocol!r}")
