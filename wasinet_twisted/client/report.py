"""
L{Report}: what an observer of requests is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import LocalProtocolError
from ..http import ResponseHead, WasiRequest
from ..http.outgoing import encodeFields
from ..net.tls.info import TlsInfo
from .timings import Timings


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a L{Pool<wasinet_twisted.client.Pool>}'s observer is told of a request: the head of its response has come, or
    it has failed. Each request of a chain of redirects has a report of its own.

    @ivar method: the method of the request.
    @ivar url: the URL of the request, without user and password.
    @ivar status: the status of the response; L{None}: there was no response.
    @ivar error: the exception, if there was no response.
    @ivar kept: did the request go over a connection that had been used before?
    @ivar timings: how long the phases have taken, in seconds. C{total} is set once the body has come to its end.
    @ivar request: the request; L{None}: it never came to a request.
    @ivar inPieces: was the body not sent with the head?
    @ivar head: the response's head.
    @ivar peer: the address that the connection was made to, the proxy's if there was one; L{None}: there is no
        response.
    @ivar tls: what was agreed on by TLS with the origin.
    @ivar proxy: the URL of the proxy, without user and password; L{None}: there was none.
    """

    method: str
    url: str
    status: int | None
    error: BaseException | None
    kept: bool
    timings: Timings
    request: WasiRequest | None = None
    inPieces: bool = False
    head: ResponseHead | None = None
    peer: str | None = None
    tls: TlsInfo | None = None
    proxy: str | None = None

    def sentHead(self) -> bytes:
        """
        Return the head of the request as it was sent, credentials included.

        @raise LocalProtocolError: it could not be sent, or there was none.
        """
        if self.request is None:
            raise LocalProtocolError(f"{self.method} {self.url}: there was no request")
        if self.inPieces:
            return self.request.encodeHead()
        framed = self.request.framed()
        return f"{framed.method} {framed.uri} {framed.version}\r\n".encode("ascii") + encodeFields(framed.fields())
