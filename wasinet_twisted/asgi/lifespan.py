"""
L{Lifespan}: an app's beginning and its end.

The names of messages are those of the ASGI lifespan specification, version 2.0.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..errors import LocalProtocolError, WasinetError
from ..net.tasks.awaited import Awaited
from ..net.tasks.hints import withAsyncioHint
from .causes import isCancellation
from .interfaces import App, Message
from .messages import kindOf
from .running import Run, Runner
from .scope import VERSION

log = Logger()

# What the app has been told, and has said.
_NEW, _STARTING, _STARTED, _FAILED, _STOPPING, _TOLD, _STOPPED, _ENDED = range(8)

# How long an app may take to clean up once it has been cancelled, in seconds.
_GRACE = 1.0


class StartupFailed(WasinetError):
    """
    The app can't be served: its startup has failed. The message is one line that says why.
    """


class Lifespan:
    """
    One call of an app that lasts from before the first request until after the last one.

    @ivar state: what the app keeps for its requests.
    """

    __slots__ = (
        "_app",
        "_over",
        "_phase",
        "_reactor",
        "_required",
        "_run",
        "_runner",
        "_started",
        "_timer",
        "_waiter",
        "state",
    )

    def __init__(self, app: App, runner: Runner, reactor: Any, required: bool) -> None:
        """
        @param required: does an app that takes no part fail, or is it served without?
        """
        self.state: dict[str, Any] = {}
        self._app = app
        self._required = required
        self._runner = runner
        self._reactor = reactor
        self._run: Run | None = None
        self._phase = _NEW
        self._started: Awaited[None] = Awaited()
        # Fires when the app has ended; None before the shutdown.
        self._over: Awaited[None] | None = None
        self._timer: IDelayedCall | None = None
        self._waiter: Any = None

    def startup(self) -> Deferred[None]:
        """
        Call the app, and tell it of its startup.

        @return: fires when the app is ready, or takes no part.
        @raise StartupFailed: it can't be served.
        """
        self._run = self._runner.run(self._call(), self)
        return self._started

    def shutdown(self, deadline: float) -> Deferred[None]:
        """
        Tell the app that no request follows, and wait for it to end.

        @param deadline: seconds that it may take; then it is cancelled. An app that still starts is cancelled at once.
        @return: fires a second after the deadline at the latest.
        """
        over = self._over = Awaited()
        if self._phase == _ENDED:
            over.give(None)
        elif not self._started.called:
            self._cancel()
        else:
            self._timer = self._reactor.callLater(deadline, self._late, deadline)
            self._phase = _STOPPING
            if self._waiter is not None:
                self._runner.wake(self._waiter)
        return over

    def _late(self, deadline: float) -> None:
        log.error("the app's shutdown took more than {deadline:g} s and is cancelled", deadline=deadline)
        self._cancel()

    def _cancel(self) -> None:
        self._timer = self._reactor.callLater(_GRACE, self._force)
        assert self._run is not None
        self._runner.cancel(self._run)

    def _force(self) -> None:
        log.error("the app's lifespan did not end when it was cancelled")
        assert self._run is not None
        self._runner.kill(self._run)
        self.ended()

    async def _call(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": VERSION, "spec_version": "2.0"}, "state": self.state}
        error: BaseException | None = None
        try:
            await self._app(scope, self._receive, self._send)
        except GeneratorExit:
            raise
        except BaseException as raised:
            error = withAsyncioHint(raised)
        if not self._started.called and self._over is None:
            self._takesNoPart(error)
        elif error is not None and self._phase != _FAILED and not (isCancellation(error) and self._over is not None):
            log.failure("the app's lifespan failed", failure=Failure(error))
        self.ended()

    def ended(self) -> None:
        """
        The app has returned, or has been ended.
        """
        if self._phase == _ENDED:
            return
        self._phase = _ENDED
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if not self._started.called:
            self._started.failQuietly(StartupFailed("the app's startup was cancelled"))
        if self._over is not None:
            self._over.give(None)

    def _takesNoPart(self, error: BaseException | None) -> None:
        why = (
            "it has returned without an answer"
            if error is None
            else f"{type(error).__name__}: {error}".partition("\n")[0]
        )
        if self._required:
            failure = StartupFailed(f"the app's startup failed: {why}")
            failure.__cause__ = error
            self._started.fail(failure)
        else:
            log.info("the app is served without a lifespan, in which it takes no part: {why}", why=why)
            self._started.give(None)

    async def _receive(self) -> Message:
        if self._phase == _NEW:
            self._phase = _STARTING
            return {"type": "lifespan.startup"}
        while self._phase != _STOPPING:
            if self._phase == _STOPPED or (self._phase == _FAILED and self._over is not None):
                # There is nothing more to be told.
                assert self._run is not None
                self._runner.cancel(self._run)
            waiter = self._waiter = self._runner.waiter()
            await waiter
        self._phase = _TOLD
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = kindOf(message)
        if kind in ("lifespan.startup.complete", "lifespan.startup.failed") and self._phase == _STARTING:
            if kind == "lifespan.startup.complete":
                self._phase = _STARTED
                self._started.give(None)
            else:
                self._phase = _FAILED
                text = str(message.get("message", "")).strip()
                # An app whose startup was cancelled, by Ctrl-C say, has failed at nothing.
                if "\n" in text and self._over is None:
                    log.error("the app's startup failed:\n{text}", text=text)
                self._started.fail(StartupFailed(f"the app's startup failed: {lastLine(text) or 'it gives no reason'}"))
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed") and self._phase == _TOLD:
            self._phase = _STOPPED
            if kind == "lifespan.shutdown.failed":
                self._phase = _FAILED
                text = str(message.get("message", "")).strip() or "it gives no reason"
                log.error("the app's shutdown failed:{between}{text}", between="\n" if "\n" in text else " ", text=text)
        else:
            raise LocalProtocolError(f"{kind!r} has no place here")


def lastLine(text: str) -> str:
    """
    Return the last line: that of a traceback says what was raised.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
