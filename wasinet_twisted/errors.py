"""
Every exception this package raises, in one tree.

The first question a caller has is whose fault it was. So: what our side tried
to send is a L{LocalProtocolError}, what the peer sent a L{RemoteProtocolError};
C{ConnectionClosed} is a connection that is gone; an argument that could never
have worked is an L{InvalidArgument}.

An error that a client of a server causes has a C{statusHint}: the status of the
answer. An error without one is nobody's request: a TLS handshake that failed,
a connection that is gone.

This module imports nothing of the package.
"""

from __future__ import annotations

from collections.abc import Sequence


class WasinetError(Exception):
    """
    The root of all exceptions of this package.
    """

    # Where a connection's reads and writes raise this because of the peer: an object that only this connection has.
    _about: object = None


class InvalidArgument(WasinetError, ValueError):
    """
    A call was given a value that it can never take. The message names the
    argument, its bounds and the value.
    """


class ProtocolError(WasinetError):
    """
    HTTP was not spoken as RFC 9110 and RFC 9112 have it.
    """


class LocalProtocolError(ProtocolError):
    """
    Our side tried to send, or to do, what the protocol doesn't allow. Nothing
    has been sent.
    """


class InvalidResponse(LocalProtocolError):
    """
    A handler gave something other than a response that can be sent. The client
    is answered with 500.
    """


class RemoteProtocolError(ProtocolError):
    """
    The peer sent what the protocol doesn't allow.

    @ivar statusHint: the status a server would answer with: 400, 413, 414,
        431, 501 or 505.
    @ivar offset: where the offending line or body begins, in bytes since the
        first that the L{wasinet_twisted.http.Buffer} was given.
    """

    def __init__(self, message: str, *, statusHint: int = 400, offset: int = 0) -> None:
        super().__init__(message)
        self.statusHint = statusHint
        self.offset = offset


class LimitExceeded(WasinetError):
    """
    A bound was passed. The message names the thing, the bound and the value.
    """


class TooManyRedirects(LimitExceeded):
    """
    There were more redirects than C{fetch} was to follow. The message names the bound and the next URL.
    """


class MessageTooLarge(RemoteProtocolError, LimitExceeded):
    """
    The peer's message passed a bound of L{wasinet_twisted.http.Limits}.
    """


class InvalidHandshake(RemoteProtocolError):
    """
    The opening handshake of a WebSocket is not as RFC 6455 section 4 has it, or is not allowed. A server answers with
    C{statusHint}: 400, 403 (the origin) or 426 (the version).

    @ivar fields: what the answer has beside its text.
    """

    def __init__(self, message: str, *, statusHint: int = 400, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message, statusHint=statusHint)
        self.fields = tuple(fields)


class ContentError(RemoteProtocolError, ValueError):
    """
    A body is not what its fields say it is.
    """


class ConnectionClosed(WasinetError):
    """
    The connection or the listener is gone: closed by our side, or broken by
    the peer or the network. In the latter case C{__cause__} is Twisted's own
    reason.
    """


class ClientDisconnected(ConnectionClosed, OSError):
    """
    An ASGI app sends to a client that is gone, or whose request has been refused.
    """


class WebSocketClosed(ConnectionClosed):
    """
    The WebSocket is closed, by either side, or its connection is gone.

    @ivar code: the code of the Close frame that began the close (RFC 6455 section 7.4); 1005: the frame had none; 1006:
        the connection ended without one.
    @ivar reason: the reason in that frame.
    """

    def __init__(self, code: int, reason: str = "", message: str | None = None) -> None:
        super().__init__(code, reason, message)
        self.code = code
        self.reason = reason
        self._message = message

    def __str__(self) -> str:
        said = f": {self.reason!r}" if self.reason else ""
        return self._message or f"the WebSocket is closed with code {self.code}{said}"


class IncompleteRead(WasinetError):
    """
    The stream ended inside something.

    @ivar partial: what came of it and has not been handed out before: of a
        body all, of a message's head the line that was cut.
    @ivar expected: how many bytes were due in all, L{None} where nobody knows.
    @ivar statusHint: 400, the status a server would answer with.
    """

    statusHint = 400

    def __init__(self, message: str, partial: bytes = b"", expected: int | None = None) -> None:
        super().__init__(message)
        self.partial = partial
        self.expected = expected


class BusyError(WasinetError):
    """
    Somebody else is already waiting there: two reads at once on one
    connection would race for the bytes.
    """


class TimedOut(WasinetError, TimeoutError):
    """
    The time allowed has passed. Nothing is lost by it.
    """


class SlowBody(TimedOut):
    """
    A request's body came too slowly.

    @ivar statusHint: 408, the status a server answers with.
    """

    statusHint = 408


class ConnectFailed(WasinetError):
    """
    No connection could be made.

    @ivar attempts: every address that was tried, in the order in which that was
        begun, and why it failed: Twisted's own exception.
    """

    def __init__(self, message: str, attempts: Sequence[tuple[str, BaseException]] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class UnknownHost(ConnectFailed):
    """
    The resolver knows no address of that name.
    """


class ConnectionRefused(ConnectFailed):
    """
    Nobody listens there: every address that was tried refused.
    """


class ProxyFailed(ConnectFailed):
    """
    A proxy made no connection with the host that it was asked for. The message names both, and says why.

    @ivar status: the status of an HTTP proxy's response to CONNECT, such as 407; L{None} if there was none.
    @ivar replyCode: the code of a SOCKS5 proxy's reply, 1 to 255 (RFC 1928 section 6); L{None} if there was none.
    """

    def __init__(
        self,
        message: str,
        attempts: Sequence[tuple[str, BaseException]] = (),
        *,
        status: int | None = None,
        replyCode: int | None = None,
    ) -> None:
        super().__init__(message, attempts)
        self.status = status
        self.replyCode = replyCode


class WebSocketRefused(ConnectFailed):
    """
    A server has answered a WebSocket's opening handshake with another status than 101.

    @ivar status: that status, such as 403.
    @ivar fields: the fields of that response.
    """

    def __init__(
        self,
        message: str,
        attempts: Sequence[tuple[str, BaseException]] = (),
        *,
        status: int = 0,
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, attempts)
        self.status = status
        self.fields = tuple(fields)


class ListenFailed(WasinetError):
    """
    An endpoint can't be listened on. The message names it and the cause.
    """


class HandshakeFailed(ConnectFailed):
    """
    TLS could not be agreed on with the peer; the connection is gone.
    """


class CertificateError(HandshakeFailed):
    """
    The peer's certificate was not accepted.
    """


class CertificateExpired(CertificateError):
    """
    The peer's certificate, or one that it rests on, was valid once and isn't any more.
    """


class CertificateNameMismatch(CertificateError):
    """
    The peer's certificate is somebody else's.

    @ivar names: whose it is: host names and IP addresses.
    """

    def __init__(
        self, message: str, attempts: Sequence[tuple[str, BaseException]] = (), names: Sequence[str] = ()
    ) -> None:
        super().__init__(message, attempts)
        self.names = tuple(names)


class UnknownCertificateAuthority(CertificateError):
    """
    The peer's certificate was issued by nobody who is trusted, or by the peer itself.
    """


class UnreadPlaintext(WasinetError):
    """
    TLS can't begin: the peer has sent bytes in the clear that nobody has read.
    Read after the handshake, they would pass for its own (CVE-2011-0411).
    """


class NotSupported(WasinetError):
    """
    This can't be done here: by this transport, with this body, or without an extra that is not installed.
    """


class GuestEnded(WasinetError):
    """
    The engine of a JavaScript program is no more, or could not be started: it took too long in a call that can't be
    interrupted, its memory was broken, or there is none for it.
    """
