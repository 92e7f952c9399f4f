"""
C{wasinet nc}: the standard input to a connection, and what comes back to the standard output.
"""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from ..errors import ConnectionClosed, InvalidArgument
from ..net import WasiTcpConn, WasiTcpServer, WasiTlsConn, connect, formatAddress
from .blocking import Blocking, readSome, writeAll
from .ending import say
from .exitcodes import READ_ERROR, WRITE_ERROR
from .running import run as runOnReactor

_NAME = "wasinet nc"
_INPUT, _OUTPUT = 0, 1
# How much is on its way between the two at a time, in each direction, in bytes.
_PIECE = 64 * 1024


def run(arguments: Namespace) -> int:
    """
    Connect, or wait for a connection, and relay until both directions have ended.

    @raise InvalidArgument: the options don't go together.
    """
    if arguments.ca is not None and not arguments.tls:
        raise InvalidArgument("--ca goes with --tls")
    if not (arguments.listen or arguments.port):
        raise InvalidArgument("port 0 can only be listened on")
    return runOnReactor(_NAME, lambda reactor: _nc(arguments, reactor))


async def _nc(arguments: Namespace, reactor: Any) -> int:
    async with await _connection(arguments, reactor) as conn:
        return await _Relay(conn, reactor).run()


async def _connection(arguments: Namespace, reactor: Any) -> WasiTcpConn:
    host, port, timeout = arguments.host, arguments.port, arguments.timeout
    if arguments.listen:
        server = WasiTcpServer(port, interface=host, reactor=reactor)
        say(_NAME, f"listening on {formatAddress(server.local())}")
        try:
            return await server.accept()
        finally:
            await server.close()
    if arguments.tls:
        return await WasiTlsConn.connect(host, port, timeout, caCertificates=arguments.ca, reactor=reactor)
    return await connect(host, port, timeout, reactor=reactor)


class _Relay:
    """
    Both directions of one connection.
    """

    def __init__(self, conn: WasiTcpConn, reactor: Any) -> None:
        self._conn = conn
        self._input = Blocking(reactor)
        self._output = Blocking(reactor)
        # What has failed that isn't the connection: the status, and why.
        self._failure: tuple[int, str] | None = None
        # Why our direction has ended early.
        self._broken: ConnectionClosed | None = None

    async def run(self) -> int:
        """
        @return: the exit status.
        @raise ConnectionClosed: the connection broke.
        """
        sending = ensureDeferred(self._send())
        try:
            await self._receive()
            if not sending.called:
                await self._waitFor(sending)
            if self._broken is not None:
                raise self._broken
        except ConnectionClosed:
            if self._failure is None:
                raise
        finally:
            sending.addErrback(lambda failure: failure.trap(CancelledError))
            sending.cancel()
        if self._failure is not None:
            status, why = self._failure
            say(_NAME, why)
            return status
        return 0

    async def _send(self) -> None:
        """
        From the standard input to the peer, no faster than the peer takes it; then end our direction.
        """
        conn = self._conn
        try:
            while data := await self._input.call(readSome, _INPUT, _PIECE):
                await conn.write(data)
            if conn.tls is None:
                await conn.finish()
        except OSError as error:
            self._fail(READ_ERROR, f"can't read the standard input: {error.strerror}")
        except ConnectionClosed as error:
            self._broken = error

    async def _receive(self) -> None:
        """
        From the peer to the standard output, no faster than that takes it.

        @raise BrokenPipeError: nobody reads it any more.
        """
        async for data in self._conn:
            try:
                await self._output.call(writeAll, _OUTPUT, data)
            except BrokenPipeError:
                raise
            except OSError as error:
                self._fail(WRITE_ERROR, f"can't write to the standard output: {error.strerror}")

    async def _waitFor(self, sending: Deferred[None]) -> None:
        """
        The peer has ended its direction: go on with ours until it has ended or the connection is gone.
        """
        gone = self._conn.whenClosed()
        if not gone.called and os.isatty(_INPUT):
            say(_NAME, "the peer has ended its direction; Ctrl-D ends this one")
        either: Deferred[None] = Deferred()

        def over(result: Any) -> Any:
            if not either.called:
                either.callback(None)
            return result

        sending.addBoth(over)
        gone.addBoth(over)
        await either
        if not sending.called and self._conn.tls is None:
            self._broken = ConnectionClosed("the connection is gone, and not all of the standard input has been sent")

    def _fail(self, status: int, why: str) -> None:
        self._failure = status, why
        self._conn.abort()
