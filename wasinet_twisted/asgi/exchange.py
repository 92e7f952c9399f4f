"""
L{Exchange}: one call of an app for one request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..errors import ClientDisconnected, ConnectionClosed
from ..server import Request
from ..server.reply import Reply
from .causes import isCancellation
from .interfaces import App, Message, Scope
from .running import Run, Runner

log = Logger()


class Exchange(Reply):
    """
    Runs an app over a request, and owns it until it returns. What it receives and sends is a subclass's affair.
    """

    __slots__ = ("_cancelled", "_finishing", "_pulling", "_run", "_runner", "_told", "_waiters")

    def __init__(self, request: Request, runner: Runner) -> None:
        super().__init__(request)
        self._runner = runner
        # While it runs.
        self._run: Run | None = None
        # Has the server cancelled it?
        self._cancelled = False
        # Has the app been told of the end?
        self._told = False
        # Those who wait for something to happen: more to receive, the end of the connection or of the response.
        self._waiters: list[Any] | None = None
        # What tells of more to receive, and of the connection's end.
        self._pulling: Deferred[Any] | None = None
        self._finishing: Deferred[Any] | None = None

    async def receive(self) -> Message:
        """
        What the app calls for the next message.
        """
        raise NotImplementedError(f"{type(self).__name__}.receive()")

    async def send(self, message: Message) -> None:
        """
        What the app calls with a message.
        """
        raise NotImplementedError(f"{type(self).__name__}.send()")

    def returned(self, error: BaseException | None) -> None:
        """
        The app has returned, or has raised C{error}.
        """
        raise NotImplementedError(f"{type(self).__name__}.returned()")

    # Its run

    def start(self, app: App, scope: Scope) -> None:
        """
        Call the app.
        """
        run = self._runner.run(self._call(app, scope), self)
        if not self.done:
            self._run = run
            self._carrier.server.runs(self._carrier, self)

    async def _call(self, app: App, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.returned(error)
        else:
            self.returned(None)
        self.ended()

    def cancel(self) -> None:
        """
        Raise CancelledError in the app, where it waits.
        """
        if self._run is not None:
            self._cancelled = True
            self._runner.cancel(self._run)

    def wasCancelledBy(self, error: BaseException | None) -> bool:
        """
        Is C{error} what L{cancel} has raised? An app may raise the same by itself, if it awaits what it has cancelled.
        """
        return self._cancelled and error is not None and isCancellation(error)

    def kill(self) -> None:
        """
        End the app where it waits, or forget it, if it runs in a Task of asyncio's.
        """
        if self._run is not None:
            self._runner.kill(self._run)
        self.ended()

    def ended(self) -> None:
        """
        The app has returned, or has been ended.
        """
        if not self.done:
            self.done = True
            # Which refers to this.
            self._run = None
            self._release()
            self._carrier.server.ran(self._carrier, self)

    async def disconnected(self, what: str) -> ClientDisconnected:
        """
        Return what a C{send()} to a client that has gone raises, at the next turn: C{receive()} tells first, and an app
        that may end its sending then does so; an app that sends again and again keeps nobody from their turn.
        """
        await self._runner.turn()
        return ClientDisconnected(what)

    async def taken(self, written: Any) -> None:
        """
        Wait until the client has taken enough of what has been sent.

        @param written: what a write has returned.
        @raise ClientDisconnected: the client has gone.
        """
        try:
            await (written if written.called else self._runner.wait(written))
        except ConnectionClosed as error:
            raise await self.disconnected(f"the client of {self._request!r} has gone: {error}") from error

    async def gone(self, message: Message) -> Message:
        """
        Return the message that tells of the end; at the next turn if the app has had it before, as one that goes on
        asking would keep others from their turn.
        """
        if self._told:
            await self._runner.turn()
        self._told = True
        return message

    # Those who wait

    async def _until(self, ask: Callable[[], None]) -> None:
        """
        Wait until something happens.

        @param ask: sees to it that this is told.
        """
        waiter = self._runner.waiter()
        if self._waiters is None:
            self._waiters = []
        # First: what is asked may tell at once.
        self._waiters.append(waiter)
        ask()
        try:
            await waiter
        finally:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            self._runner.wake(waiter)

    def _listen(self) -> None:
        if self._finishing is None:
            self._finishing = self._carrier.whenPeerFinished()
            self._finishing.addBoth(self._finished)

    def _finished(self, _: object) -> None:
        self._finishing = None
        self._wake()

    def _release(self) -> None:
        """
        Nothing is waited for any more.
        """
        if self._finishing is not None:
            self._finishing.cancel()
        if self._waiters is not None:
            self._wake()
