"""
L{WebSocketExchange}: what an app receives and sends for a WebSocket.

The names and the order of messages are those of the ASGI WebSocket specification, version 2.5.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import (
    ClientDisconnected,
    ConnectionClosed,
    InvalidHandshake,
    LocalProtocolError,
    WebSocketClosed,
)
from ..http import WasiResponse
from ..http.checks import shorten
from ..net.tasks.hints import withAsyncioHint
from ..server import Request
from ..websocket.handle import WebSocket
from ..websocket.limits import WebSocketLimits
from .causes import isCancellation, isOfTheClient
from .exchange import Exchange
from .interfaces import Message
from .messages import bodyOf, fieldsOf, kindOf, responseOf, withLength
from .running import Runner

log = Logger()

# What has been sent: nothing; an answer that denies the WebSocket is started, or its head sent; it is denied; open.
_NOTHING, _STARTED, _DENYING, _DENIED, _OPEN = range(5)
_EXPECTED = {
    _NOTHING: "websocket.accept or websocket.close was to come",
    _STARTED: "websocket.http.response.body was to come",
    _DENYING: "websocket.http.response.body was to come",
    _OPEN: "the WebSocket is open",
}

# RFC 6455 section 7.4.1: the connection has ended without a Close frame.
_ABNORMAL = 1006


class WebSocketExchange(Exchange):
    """
    Runs an app over a request for a WebSocket.
    """

    __slots__ = ("_connected", "_length", "_limits", "_received", "_response", "_stage", "_webSocket")

    def __init__(self, request: Request, runner: Runner, limits: WebSocketLimits) -> None:
        super().__init__(request, runner)
        self._limits = limits
        self._stage = _NOTHING
        # Has the app been told of the request?
        self._connected = False
        self._webSocket: WebSocket | None = None
        # The message that has been received and that the app has not had.
        self._received: Message | None = None
        # The response that denies it, and its Content-Length.
        self._response: WasiResponse | None = None
        self._length: str | None = None

    # Its end

    def returned(self, error: BaseException | None) -> None:
        """
        See L{Exchange.returned}.
        """
        if self._webSocket is not None:
            self._closeAfter(error)
        elif self.isOpen():
            if self.wasCancelledBy(error):
                self.fail(CancelledError(), cancelled=True)
            else:
                why = f"the app has returned without an answer; {_EXPECTED.get(self._stage)}"
                self.fail(error or LocalProtocolError(why))
        elif error is not None and not isCancellation(error) and not isOfTheClient(error):
            self._log(error)

    def _closeAfter(self, error: BaseException | None) -> None:
        assert self._webSocket is not None
        code = 1000
        if self.wasCancelledBy(error):
            code = 1012
        elif error is not None:
            code = 1011
            # While its own client is there, it may be another one's that has gone.
            if self._webSocket.closeCode is None or not (isOfTheClient(error) or isCancellation(error)):
                self._log(error)
        self._webSocket.close(code)

    def _log(self, error: BaseException) -> None:
        log.failure(
            "the app failed at the WebSocket of {peer} ({request})",
            failure=Failure(withAsyncioHint(error)),
            request=self._request,
            peer=self.peerName(),
        )

    # What the app receives

    async def receive(self) -> Message:
        """
        Return the next message, or wait for it.
        """
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        carrier = self._carrier
        while self._webSocket is None:
            if self._stage == _DENIED or not self.isOpen() or carrier.peerFinished:
                return await self.gone({"type": "websocket.disconnect", "code": _ABNORMAL, "reason": ""})
            await self._until(self._listen)
        while self._received is None:
            await self._until(self._pull)
        received = self._received
        if received["type"] == "websocket.disconnect":
            return await self.gone(received)
        self._received = None
        return received

    def _pull(self) -> None:
        # One for all who wait: an app may give one receive() up, and gets the message by the next.
        if self._pulling is None:
            assert self._webSocket is not None
            pulling: Deferred[Any] = self._webSocket.receive()
            self._pulling = pulling
            pulling.addCallbacks(self._message, self._closed)

    def _message(self, message: Any) -> None:
        self._pulling = None
        self._received = {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}
        self._wake()

    def _closed(self, failure: Failure) -> None:
        self._pulling = None
        error, code, reason = failure.value, _ABNORMAL, ""
        if isinstance(error, WebSocketClosed):
            code, reason = error.code, error.reason
        self._received = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._wake()

    # What the app sends

    async def send(self, message: Message) -> None:
        """
        Send a message, or answer the request.

        @raise ClientDisconnected: the WebSocket is closed.
        @raise LocalProtocolError: the message is none, or has no place here. Nothing has been sent.
        """
        kind = kindOf(message)
        stage = self._stage
        if stage == _DENIED:
            return
        if stage == _OPEN:
            if kind == "websocket.send":
                await self._sendMessage(message)
                return
            if kind == "websocket.close":
                self._close(message)
                return
        elif not self.isOpen():
            raise await self.disconnected(f"{kind} for {self._request!r}, whose client {self.peerName()} has gone")
        elif kind == "websocket.accept" and stage == _NOTHING:
            await self._accept(message)
            return
        elif kind == "websocket.close" and stage == _NOTHING:
            self._stage = _DENIED
            self.respond(WasiResponse(403, {"Content-Type": "text/plain"}, b"Forbidden\n"))
            self._release()
            return
        elif kind == "websocket.http.response.start" and stage == _NOTHING:
            self._response, self._length = responseOf(message)
            self._stage = _STARTED
            return
        elif kind == "websocket.http.response.body" and stage in (_STARTED, _DENYING):
            await self._deny(bodyOf(message), bool(message.get("more_body", False)))
            return
        raise LocalProtocolError(f"{kind!r} has no place here: {_EXPECTED[stage]}")

    async def _accept(self, message: Message) -> None:
        subprotocol = message.get("subprotocol")
        if subprotocol is not None and subprotocol not in self._offered():
            raise LocalProtocolError(f"the client doesn't offer the subprotocol {subprotocol!r:.100}")
        opening = self._request.webSocket(
            subprotocols=() if subprotocol is None else (subprotocol,), headers=fieldsOf(message), limits=self._limits
        )
        try:
            self._webSocket = await (opening if opening.called else self._runner.wait(opening))
        except InvalidHandshake as error:
            self.refuse(error)
            self._wake()
            raise await self.disconnected(f"the handshake of {self._request!r} is not valid: {error}") from error
        except ConnectionClosed as error:
            raise await self.disconnected(f"the client of {self._request!r} has gone: {error}") from error
        self._stage = _OPEN
        self._wake()

    def _offered(self) -> list[str]:
        fields = self._request.headers.getall("Sec-WebSocket-Protocol", [])
        return [each.strip(" \t") for field in fields for each in field.split(",")]

    async def _sendMessage(self, message: Message) -> None:
        assert self._webSocket is not None
        text, data = message.get("text"), message.get("bytes")
        if (text is None) == (data is None):
            raise LocalProtocolError(f"websocket.send has either text or bytes, not {shorten(message)}")
        if not (isinstance(text, str) if data is None else isinstance(data, bytes | bytearray | memoryview)):
            raise LocalProtocolError("the text of websocket.send must be str, and its bytes must be bytes")
        try:
            sent = self._webSocket.send(text if data is None else data)  # type: ignore[arg-type]
        except ConnectionClosed as error:
            raise await self.disconnected(f"the WebSocket of {self.peerName()} is closed: {error}") from error
        await self.taken(sent)

    def _close(self, message: Message) -> None:
        assert self._webSocket is not None
        if self._webSocket.closeCode is not None:
            raise ClientDisconnected(f"the WebSocket of {self.peerName()} is closed already")
        code = message.get("code")
        # Not awaited: the peer's Close frame may take its time.
        self._webSocket.close(1000 if code is None else code, message.get("reason") or "")

    async def _deny(self, body: bytes, more: bool) -> None:
        response = self._response
        assert response is not None
        if self._stage == _STARTED:
            withLength(response, self._length)
            if not more:
                response._body = body
                self._stage = _DENIED
                self.respond(response)
                self._release()
                return
            written: Any = self.begin(response, body)
            self._stage = _DENYING
        elif more:
            written = self.data(body)
        else:
            self._stage = _DENIED
            self.end(body)
            self._release()
            return
        await self.taken(written)
