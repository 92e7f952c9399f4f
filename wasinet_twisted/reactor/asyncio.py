"""
The reactor for asyncio programs: Twisted's C{AsyncioSelectorReactor} with the transports of this room.

    from wasinet_twisted.reactor import asyncio
    asyncio.install()

or C{twistd --reactor=wasinet-asyncio …}. It runs on any asyncio loop whose
C{add_reader} works, uvloop's too. Each connection's reads are one callback of
the loop; what connections write in a turn of the loop is sent together in the
next one. All else is Twisted's. Linux only.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import Any

from twisted.internet import asyncioreactor
from twisted.internet.main import installReactor
from twisted.internet.posixbase import _NO_FILEDESC
from twisted.python import log
from twisted.python.context import theContextTracker
from twisted.python.log import ILogContext

from . import opening
from .both import inTask as inTask
from .dispatch import callLogged, keepHeap, sendNow
from .transports import LEAN, Gathering


class Batch:
    """
    What has something to send, and the loop's call that has it sent.

    Not at the end of the event that wrote: a peer in the same process would then be told before the timed calls that
    were made meanwhile, which asyncio runs after a turn's events. And peers woken one after the other stay awake.
    """

    __slots__ = ("_asked", "_loop", "_send", "_waiting")

    def __init__(self, loop: AbstractEventLoop, send: Callable[[Gathering], object]) -> None:
        """
        @param send: has one of them send.
        """
        self._loop = loop
        self._send = send
        self._asked = False
        self._waiting: deque[tuple[Gathering, Context]] = deque()

    def __iter__(self) -> Iterator[Gathering]:
        """
        Those that are to send.
        """
        return iter([transport for transport, _ in self._waiting])

    def append(self, transport: Gathering) -> None:
        """
        Have C{transport} send in the loop's next turn.
        """
        # What sending calls, such as a producer, runs in the context of the code that wrote, as callbacks of the loop
        # do: not in that of the connection that was the first to write.
        self._waiting.append((transport, copy_context()))
        self._ask()

    def _ask(self) -> None:
        if not self._asked:
            # It raises in the wrong thread, if the loop is in debug mode.
            self._loop.call_soon(self._sendAll)
            self._asked = True

    def _sendAll(self) -> None:
        waiting, send = self._waiting, self._send
        # What is appended from now on is for the next turn.
        self._asked = False
        try:
            for _ in range(len(waiting)):
                if not waiting:
                    # Something has run the loop from within.
                    break
                transport, context = waiting.popleft()
                # It may have sent, or ended, since.
                if transport.dirty:
                    context.run(send, transport)
        finally:
            if waiting:
                # An exception went through.
                self._ask()


class AsyncioSelectorReactor(asyncioreactor.AsyncioSelectorReactor):
    """
    Twisted's C{AsyncioSelectorReactor}, with gathered writes and fewer layers around an event.

    It has the same name, since some programs and Twisted's own tests go by it.
    """

    def __init__(self, eventloop: AbstractEventLoop | None = None) -> None:
        """
        @param eventloop: the loop to run on; L{None}: the one that runs, or else a new one.
        """
        keepHeap()
        super().__init__(eventloop)
        self.dirty = Batch(self._asyncioEventloop, self._send)

    # For the transports

    @property
    def logContext(self) -> dict[str, Any]:
        """
        What log messages are told beside the connection that they come from: the innermost context that isn't one.
        """
        for each in reversed(theContextTracker.currentContext().contexts):
            if each.__class__ not in LEAN and ILogContext in each:
                return each[ILogContext]  # type: ignore[no-any-return]
        return {}

    def isReading(self, transport: Any) -> bool:
        """
        Does the loop watch for what comes for C{transport}?
        """
        return transport in self._readers

    def isWriting(self, transport: Any) -> bool:
        """
        Does the loop watch for C{transport} to become writable?
        """
        return transport in self._writers

    def addReader(self, reader: Any) -> None:
        """
        See C{IReactorFDSet.addReader}.
        """
        if reader.__class__ not in LEAN:
            super().addReader(reader)
        elif reader not in self._readers:
            fd = reader.fileno()
            try:
                self._asyncioEventloop.add_reader(fd, self._read, reader)
            except OSError:
                self._unregisterFDInAsyncio(fd)
                raise
            self._readers[reader] = fd

    def removeAll(self) -> list[Any]:
        """
        See C{IReactorFDSet.removeAll}. Those that are to send are among them, as if they waited for the loop.
        """
        removed: list[Any] = super().removeAll()
        return removed + [each for each in self.dirty if each.dirty and each.connected and each not in removed]

    # The events

    def _read(self, transport: Any) -> None:
        """
        What C{log.callWithLogger} and C{_readOrWrite} do, without what is the same each time.
        """
        # Not once and for all: the loop may run in another thread than the one that made the reactor.
        contexts = theContextTracker.currentContext().contexts
        contexts.append(transport)
        try:
            try:
                why = transport.doRead()
            except Exception as error:
                why = error
                self._log.failure(None)  # type: ignore[arg-type]
            if why:
                # Somebody has closed its socket.
                gone = transport.fileno() == -1
                self._disconnectSelectable(transport, _NO_FILEDESC if gone else why, True)
        except KeyboardInterrupt:
            raise
        except BaseException:
            log.err(system=transport.logPrefix())
        finally:
            contexts.pop()

    def _send(self, transport: Any) -> None:
        if not transport.sendPlain() and transport.connected:
            callLogged(theContextTracker.currentContext().contexts, transport, sendNow, self, transport)

    # IReactorCore

    def iterate(self, timeout: float = 0) -> None:
        """
        See C{IReactorCore.iterate}.
        """
        super().iterate(timeout)

    # IReactorTCP, IReactorUNIX, IReactorSocket
    listenTCP, connectTCP = opening.listenTCP, opening.connectTCP
    listenUNIX, connectUNIX = opening.listenUNIX, opening.connectUNIX
    adoptStreamPort, adoptStreamConnection = opening.adoptStreamPort, opening.adoptStreamConnection


def install(eventloop: AbstractEventLoop | None = None) -> AsyncioSelectorReactor:
    """
    Make this the reactor of the process. To be called before anything imports C{twisted.internet.reactor}.

    @param eventloop: the loop to run on; L{None}: the one that runs, or else a new one.
    """
    reactor = AsyncioSelectorReactor(eventloop)
    installReactor(reactor)
    return reactor
