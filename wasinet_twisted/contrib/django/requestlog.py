"""
L{RequestLog}: a line for each request, where Django's own development server writes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[object]]

# Django's logging gives it a handler and colours.
log = logging.getLogger("django.server")

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class RequestLog:
    """
    An ASGI app around another one.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """
        Call the app, and log what becomes of its request.
        """
        kind = scope["type"]
        if kind == "http":
            entry: _Entry = _Response(scope)
        elif kind == "websocket":
            entry = _WebSocket(scope)
        else:
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            await send(message)
            entry.sent(message)

        async def receiving() -> Message:
            message = await receive()
            entry.received(message)
            return message

        try:
            await self._app(scope, receiving, sending)
        finally:
            entry.ended()


class _Entry:
    """
    What is known of a request.
    """

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        query = scope["query_string"]
        path = scope.get("raw_path") or scope["path"].encode()
        self.target = (path + (b"?" + query if query else b"")).decode("latin-1")

    def sent(self, message: Message) -> None:
        """
        The app has sent a message.
        """

    def received(self, message: Message) -> None:
        """
        The app has received a message.
        """

    def ended(self) -> None:
        """
        The app has returned.
        """

    def write(self, line: str, status: int) -> None:
        """
        Write a line, with what Django's formatter wants to know.
        """
        level = logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO
        log.log(level, "%s", line, extra={"status_code": status, "server_time": _now(), "request": self.scope})


class _Response(_Entry):
    """
    A response: its line comes with its end.
    """

    def __init__(self, scope: dict[str, Any]) -> None:
        super().__init__(scope)
        self._status = self._size = 0
        self._written = False

    def sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.ended()

    def ended(self) -> None:
        if self._written:
            return
        self._written = True
        line = f'"{self.scope["method"]} {self.target} HTTP/{self.scope["http_version"]}"'
        # Without a start the app has failed, or its client has gone.
        self.write(f"{line} {self._status or '-'} {self._size}", self._status)


class _WebSocket(_Entry):
    """
    A WebSocket: a line when it is open or refused, and one at its end.
    """

    def __init__(self, scope: dict[str, Any]) -> None:
        super().__init__(scope)
        self._open = False
        self._code: int | None = None

    def sent(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self._open = True
            self.write(f'"WebSocket {self.target}" open', 101)
        elif kind == "websocket.close" and not self._open:
            self.write(f'"WebSocket {self.target}" refused 403', 403)
        elif kind == "websocket.close":
            self._code = message.get("code", 1000)
        elif kind == "websocket.http.response.start":
            self.write(f'"WebSocket {self.target}" refused {message["status"]}', message["status"])

    def received(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect" and self._code is None:
            self._code = message.get("code", 1005)

    def ended(self) -> None:
        if self._open:
            self.write(f'"WebSocket {self.target}" closed {self._code or "-"}', 101)


def _now() -> str:
    """
    The local time as Django's development server writes it.
    """
    now = time.localtime()
    return (
        f"{now.tm_mday:02}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year:04} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
    )
