"""
Sockets for scripts: what C{js/wasi_net.js} asks for.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from ..errors import InvalidArgument, LimitExceeded, TimedOut
from ..net import WasiTcpConn, WasiTcpServer, WasiTlsConn, connect, formatAddress, nsloopup
from ..net.addresses import splitAddress
from .guestinterface import Given, Operation, Value
from .handles import Handles, messageOf, textOf, whole
from .settings import Network
from .waits import Waits

# Bytes that a read gives at most.
_PIECE = 65536
# As many milliseconds as fit an int32, as JavaScript's timers have it.
_LONGEST = 2**31 - 1
# How much of its memory a script needs at least for each connection that it accepts.
_EACH = 4096
# So many closes are remembered, before it is looked at which of them are over.
_CLOSES = 256


class Sockets:
    """
    Those of one program.
    """

    __slots__ = (
        "_accepted",
        "_blame",
        "_closing",
        "_handles",
        "_mostAccepted",
        "_mostUnsent",
        "_network",
        "_reactor",
        "_rooms",
        "_unsent",
        "_waits",
    )

    def __init__(
        self,
        reactor: Any,
        handles: Handles,
        waits: Waits,
        network: Network,
        memory: int,
        blame: Callable[[BaseException], object],
    ) -> None:
        """
        @param memory: the script's. As many bytes may wait to be sent, on all connections together; and no more are
            accepted than fit into it, lest those who connect end the program.
        @param blame: called with what goes wrong with a connection that was accepted, before the script is told.
        """
        self._reactor = reactor
        self._handles = handles
        self._waits = waits
        self._network = network
        self._mostUnsent = memory
        self._mostAccepted = memory // _EACH
        # Accepts that wait until one of so many is gone.
        self._rooms: deque[Deferred[None]] = deque()
        self._unsent = 0
        self._blame = blame
        self._accepted: set[WasiTcpConn] = set()
        # What is still sending what was written.
        self._closing: list[Deferred[None]] = []

    def operations(self) -> dict[str, Operation]:
        """
        Return them by name.
        """
        return {
            "listen": self._listen,
            "accept": self._accept,
            "connect": self._connect,
            "connectTls": self._connectTls,
            "read": self._read,
            "write": self._write,
            "close": self._close,
            "local": self._local,
            "peer": self._peer,
            "lookUp": self._lookUp,
        }

    def whenClosed(self) -> Deferred[Any]:
        """
        Fires when all that was let go is closed.
        """
        closing, self._closing = self._closing, []
        return DeferredList([each for each in closing if not each.called])

    def keep(self, conn: WasiTcpConn) -> int:
        """
        @return: the number by which the program knows a connection.
        """
        return self._handles.keep(conn, self._letGo)

    def abortAll(self) -> None:
        """
        Reset what is still open. To be called before the handles are dropped.
        """
        for conn in self._handles.all(WasiTcpConn):
            conn.abort()

    def _letGo(self, it: WasiTcpConn | WasiTcpServer) -> None:
        closing = self._closing
        if len(closing) >= _CLOSES:
            closing[:] = [each for each in closing if not each.called]
        if isinstance(it, WasiTcpConn):
            self._accepted.discard(it)
            if self._rooms and len(self._accepted) < self._mostAccepted:
                self._rooms.popleft().callback(None)
        closing.append(it.close())

    def _listen(self, a: float, b: float, data: Given) -> Value:
        endpoint, interface = self._network.endpoint(whole("a port", a, 0, 65535))
        return self._handles.keep(WasiTcpServer(endpoint, interface, reactor=self._reactor), self._letGo)

    def _accept(self, a: float, b: float, data: Given) -> Value:
        server = self._handles.get(a, WasiTcpServer)
        timeout = None if data is None else _seconds(data)
        if len(self._accepted) < self._mostAccepted:
            return self._waits.answer(b, server.accept(timeout), self._keepAccepted)
        return self._waits.answer(b, ensureDeferred(self._acceptLater(server, timeout)), self._keepAccepted)

    async def _acceptLater(self, server: WasiTcpServer, timeout: float | None) -> WasiTcpConn:
        """
        Wait for room first. Meanwhile those who connect wait in the server's queue and the kernel's.
        """
        room: Deferred[None] = Deferred(self._rooms.remove)
        self._rooms.append(room)
        if timeout is not None:
            room.addTimeout(timeout, self._reactor, _timedOut)
        await room
        return await server.accept(timeout)

    def _keepAccepted(self, conn: WasiTcpConn) -> int:
        number = self.keep(conn)
        self._accepted.add(conn)
        return number

    def _blamed(self, it: WasiTcpConn | WasiTcpServer) -> Callable[[BaseException], object] | None:
        """
        A peer that comes to the program by itself can't end it: its connection's errors are told, if nobody catches
        them, and the others go on.
        """
        return self._blame if it in self._accepted else None

    def _connect(self, a: float, b: float, data: Given) -> Value:
        host, port = splitAddress(textOf(data))
        target = self._network.target(host, port)
        timeout = None if a < 0 else whole("a timeout", a, 0, _LONGEST) / 1000
        return self._waits.answer(b, connect(target, timeout=timeout, reactor=self._reactor), self.keep)

    def _connectTls(self, a: float, b: float, data: Given) -> Value:
        name, port = splitAddress(textOf(data))
        host, port = splitAddress(self._network.target(name, port))
        timeout = None if a < 0 else whole("a timeout", a, 0, _LONGEST) / 1000
        connecting = WasiTlsConn.connect(
            host,
            port,
            timeout,
            caCertificates=self._network.caCertificates,
            serverName=name,
            reactor=self._reactor,
        )
        return self._waits.answer(b, connecting, self.keep)

    def _read(self, a: float, b: float, data: Given) -> Value:
        conn = self._handles.get(a, WasiTcpConn)
        return self._waits.answer(
            b, conn.read(_PIECE, None if data is None else _seconds(data)), None, self._blamed(conn)
        )

    def _write(self, a: float, b: float, data: Given) -> Value:
        if data is None or isinstance(data, tuple):
            raise InvalidArgument("write() takes bytes or text, not nothing")
        conn = self._handles.get(a, WasiTcpConn)
        blame = self._blamed(conn)
        written = conn.write(data)
        if written.called:
            if written.result is None:
                return True
            failures: list[Failure] = []
            written.addErrback(failures.append)
            if not failures:
                return True
            error = failures[0].value or Exception()
            if blame is not None:
                blame(error)
            return messageOf(error)
        size = len(data)
        if self._unsent + size > self._mostUnsent:
            written.addErrback(lambda _: None)
            error = LimitExceeded(
                f"{self._unsent + size} bytes of this program wait to be sent, the bound is {self._mostUnsent}: "
                "await what write() gives"
            )
            if blame is not None:
                blame(error)
            raise error
        self._unsent += size

        def sent(result: Any) -> Any:
            self._unsent -= size
            return result

        return self._waits.answer(b, written.addBoth(sent), lambda _: True, blame)

    def _close(self, a: float, b: float, data: Given) -> Value:
        it = self._handles.either(a, WasiTcpConn, WasiTcpServer)
        return self._waits.answer(b, it.close(), lambda _: True, self._blamed(it))

    def _local(self, a: float, b: float, data: Given) -> Value:
        it = self._handles.either(a, WasiTcpConn, WasiTcpServer)
        return formatAddress(it.local())

    def _peer(self, a: float, b: float, data: Given) -> Value:
        return formatAddress(self._handles.get(a, WasiTcpConn).peer())

    def _lookUp(self, a: float, b: float, data: Given) -> Value:
        given = json.loads(textOf(data))
        if not (isinstance(given, list) and len(given) == 2 and all(isinstance(each, str) for each in given)):
            raise InvalidArgument("looking up takes a name and a service")
        self._network.mayLookUp(given[0])
        return self._waits.answer(b, nsloopup(given[0], given[1], reactor=self._reactor), _listed)


def _timedOut(result: object, timeout: float) -> None:
    raise TimedOut(f"timed out: in {timeout:g} s, none of the connections has ended")


def _listed(addresses: list[IAddress]) -> str:
    return json.dumps([formatAddress(each) for each in addresses])


def _seconds(data: Given) -> float:
    """
    @param data: a number of milliseconds.
    """
    text = textOf(data)
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LONGEST):
        raise InvalidArgument(f"a timeout is a whole number of milliseconds up to {_LONGEST}, not {text[:40]!r}")
    return int(text) / 1000
