"""
All workers: started, watched, started anew, replaced, and ended.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from .child import Child
from .executing import Executing, commandOf
from .options import cores, drawn
from .order import Order
from .rolling import Rolling, numberOf
from .spawning import Spawner
from .templates import Templates
from .totals import Totals
from .worker import Worker

log = Logger()

# A worker that has lived for less than so many seconds, or was never ready, is started anew only after a while: the
# first time after ..., each further time after twice as long, up to ...
THRESHOLD = 2.0
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
# How long after a worker was sent SIGTERM it is replaced, in seconds, if this process wasn't.
SIGNALLED = 0.3


@frozen(kw_only=True)
class Keeping:
    """
    How workers are kept.

    @ivar count: how many there are.
    @ivar maxRequests: after how many requests a worker is replaced, and how many more this may be.
    @ivar pin: does each stay on a processor core?
    @ivar drainIdle: how long idle connections stay open when all end, in seconds.
    @ivar killTime: how long a worker may take to end, in seconds.
    """

    count: int
    maxRequests: tuple[int, int] | None = None
    pin: bool = False
    drainIdle: float = 0.0
    killTime: float = 40.0


class Crew:
    """
    The workers.

    @ivar children: those whose processes run, by name.
    @ivar totals: what they have done, added up.
    @ivar started: has each been ready once?
    """

    def __init__(
        self,
        keeping: Keeping,
        order: Order,
        endpoints: Sequence[str],
        sockets: Callable[[], dict[str, int]],
        *,
        write: Callable[[Sequence[bytes]], object],
        begun: Callable[[], object],
        failed: Callable[[str], object],
        changed: Callable[[], object],
        reactor: Any,
    ) -> None:
        """
        @param sockets: gives the descriptors to listen on, by endpoint.
        @param write: writes access log lines.
        @param begun: called when all are ready for the first time.
        @param failed: called with the reason when one can't be, at the start.
        @param changed: called when one has become ready, or is that no longer.
        """
        self._keeping = keeping
        self._write = write
        self._begun = begun
        self._failed = failed
        self._changed = changed
        self._reactor = reactor
        self._cores = cores() if keeping.pin else []
        self.children: dict[str, Child] = {}
        self.totals = Totals()
        self.started = False
        self._rollAtStart = False
        self._stopped: Deferred[None] | None = None
        self._command = commandOf(order)
        self._launcher = Templates(reactor, Executing(reactor, endpoints, sockets), order)
        # It imports the reactor, which the command's options choose before.
        from twisted.runner.procmon import ProcessMonitor

        self._monitor = ProcessMonitor(Spawner(reactor, order, self._launcher, self._make))
        self._monitor.threshold = THRESHOLD  # type: ignore[assignment]
        self._monitor.minRestartDelay = FIRST_DELAY  # type: ignore[assignment]
        self._monitor.maxRestartDelay = LONGEST_DELAY  # type: ignore[assignment]
        self._monitor.killTime = keeping.killTime  # type: ignore[assignment]
        self._rolling = Rolling(reactor, keeping.count, self._hire, self._dismiss, self._launcher.renew)

    def start(self) -> None:
        """
        Start all.
        """
        if self._stopped is None:
            self._monitor.startService()
            self._rolling.start()

    def stay(self) -> None:
        """
        Replace none any more: all are about to end.
        """
        self._rolling.stop()

    def stop(self) -> Deferred[None]:
        """
        Let all end.

        @return: fires when they have.
        """
        self.stay()
        self._stopped = Deferred()
        self._monitor.stopService()
        self._launcher.halt()
        if not self.children:
            self._stopped.callback(None)
        return self._stopped.addCallback(lambda _: self._launcher.stop())

    def roll(self) -> None:
        """
        Replace all, one after the other.
        """
        if not self.started:
            self._rollAtStart = True
        elif self._stopped is None:
            self._rolling.all()

    def kill(self) -> None:
        """
        End all by force. This may be called by a signal's handler.
        """
        for child in list(self.children.values()):
            if child.pid is not None:
                with suppress(OSError):
                    os.kill(child.pid, signal.SIGKILL)
        self._launcher.kill()

    def isReady(self) -> bool:
        """
        Does at least one serve?
        """
        return any(child.state == "ready" for child in self.children.values())

    def rows(self) -> list[dict[str, Any]]:
        """
        Return what each worker's figures are, as JSON may hold them; those that end are among them.
        """
        now = self._reactor.seconds()
        return [
            {
                "worker": child.number,
                "pid": child.pid,
                "state": child.state,
                "uptime": round(now - child.started, 3),
                "requests": child.figures.get("requests", {}).get("total", 0),
                "accepted": child.figures.get("connections", {}).get("accepted", 0),
                "open": child.figures.get("connections", {}).get("open", 0),
                "cpu": child.figures.get("cpu", 0.0),
                "memory": child.figures.get("memory"),
            }
            for child in sorted(self.children.values(), key=lambda child: (child.number, child.started))
        ]

    # procmon

    def _hire(self, name: str) -> None:
        self._monitor.addProcess(name, self._command)

    def _dismiss(self, name: str) -> None:
        # One that waits to be started anew would be, though it has been removed.
        waiting = self._monitor.restart.pop(name, None)
        if waiting is not None and waiting.active():
            waiting.cancel()
        self._monitor.removeProcess(name)

    def _forget(self, name: str) -> None:
        # procmon remembers all that it has ever had.
        for known in (self._monitor.delay, self._monitor.timeStarted, self._monitor.restart):
            known.pop(name, None)

    def _make(self, monitored: ProcessProtocol, order: Order) -> tuple[Child, Order]:
        child = Child(numberOf(monitored.name), monitored, self, self._reactor)  # type: ignore[attr-defined]
        self.children[child.name] = child
        core = self._cores[(child.number - 1) % len(self._cores)] if self._cores else None
        return child, evolve(order, core=core, maxRequests=drawn(self._keeping.maxRequests))

    # What a worker tells

    def ready(self, child: Child) -> None:
        """
        It serves.
        """
        log.info("worker {number} (process {pid}) is ready", number=child.number, pid=child.pid)
        self._changed()
        if self._rolling.isSuccessor(child.name):
            self._rolling.succeeded()
        elif not self.started and all(
            name in self.children and self.children[name].wasReady for name in self._rolling.names.values()
        ):
            self.started = True
            self._begun()
            if self._rollAtStart:
                self.roll()

    def worn(self, child: Child) -> None:
        """
        It has served as many requests as it should.
        """
        if self.started and self._rolling.names.get(child.number) == child.name:
            log.info(
                "worker {number} (process {pid}) is replaced: it has served {requests} requests",
                number=child.number,
                pid=child.pid,
                requests=child.wornAt,
            )
            self._rolling.one(child.number)

    def asked(self, child: Child) -> None:
        """
        Somebody has sent it a signal, to end it.
        """
        # If all processes were sent it, as systemd does, this one is about to hear of it.
        self._reactor.callLater(SIGNALLED, self._replace, child)

    def _replace(self, child: Child) -> None:
        if self.started and not self._rolling.stopped and self.children.get(self._rolling.names[child.number]) is child:
            log.info("worker {number} (process {pid}) is replaced: SIGTERM", number=child.number, pid=child.pid)
            self._rolling.one(child.number)

    def told(self, child: Child) -> None:
        """
        It has told its statistics.
        """
        if "connections" in child.figures:
            self.totals.tell(child, child.figures)

    def logged(self, lines: Sequence[bytes]) -> None:
        """
        It has logged requests.
        """
        self._write(lines)

    def drainIdle(self) -> float:
        """
        Return how long a worker that ends now keeps idle connections open, in seconds.
        """
        idle = self._keeping.drainIdle
        return idle if self._stopped is not None else max(idle, Worker.drainIdle)

    def ended(self, child: Child) -> None:
        """
        Its process has ended, and all that it has said has been read.
        """
        name = child.name
        del self.children[name]
        self.totals.end(child)
        self._changed()
        if not child.wasReady:
            # Whether it has lived for long or not, it has not served. procmon is told of the end after this.
            self._monitor.timeStarted[name] = self._reactor.seconds()
        if self._rolling.names.get(child.number) != name:
            self._reactor.callLater(0, self._forget, name)
        if self._stopped is not None:
            if not self.children:
                self._reactor.callLater(0, self._stopped.callback, None)
        elif self._rolling.isSuccessor(name):
            self._rolling.failed(child.reason)
        elif self._rolling.names.get(child.number) != name:
            if child.isDone():
                log.info("worker {number}'s predecessor has ended", number=child.number)
            else:
                log.warn("worker {number}'s predecessor: {reason}", number=child.number, reason=child.reason)
        elif child.wasReady:
            log.warn("worker {number}: {reason}; it is started again", number=child.number, reason=child.reason)
        elif not self.started:
            self._failed(child.reason if child.hasSaidWhy else f"worker {child.number}: {child.reason}")
        else:
            log.error(
                "worker {number} can't serve: {reason}; tried again in {seconds:g} s",
                number=child.number,
                reason=child.reason,
                seconds=self._monitor.delay[name],
            )
