"""
L{Program}: a script on a reactor, from its first line to its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall

from ..errors import InvalidArgument
from ..net.reactors import theReactor
from .entries import Entries
from .guestinterface import Given, Guest, GuestLimits, Host, Operation, Sign, Value
from .handles import Handles, messageOf, whole
from .host import ProgramHost
from .late import Late
from .messages import Messages
from .modules import BRIDGE, GLOBALS, Modules, ourSource, readScript
from .output import Output, Write
from .rejections import Rejections
from .sandbox import Sandbox
from .settings import Settings
from .sockets import Sockets
from .timers import Timers
from .waits import Waits

if TYPE_CHECKING:
    from .fetches import Fetches
    from .servers import Servers

# The operations of those two.
FETCHES = ("fetch", "responsePiece")
SERVERS = (
    "serve",
    "closeServer",
    "serverAddress",
    "takeRequest",
    "requestBody",
    "requestPiece",
    "respond",
    "beginAnswer",
    "answerPiece",
    "endAnswer",
    "clientGone",
    "leaveRequest",
    "failRequest",
)
# The exit code of a program that has failed.
FAILED = 1
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
# What an excerpt has as globals.
_PRELUDE = """\
import * as net from 'wasi_net'
import * as http from 'wasi_http'
Object.assign(globalThis, { net, http })
"""
_DEFAULT = Settings()


class Program:
    """
    A script, its modules, and all that it has begun. For the reactor's thread only.

    It is over when nothing is pending: no job, no timer, and nothing that it waits for. What it still holds closes
    then, after all that was written has been sent.

    @ivar code: its exit code, as far as it is known: that of C{process.exit}, or 1 if something has failed.
    @ivar guest: its engine.
    """

    def __init__(
        self,
        script: str | Path,
        settings: Settings = _DEFAULT,
        *,
        output: Write,
        complain: Write,
        makeGuest: Callable[[Host, GuestLimits], Guest] = Sandbox,
        reactor: Any = None,
    ) -> None:
        """
        Start the engine.

        @param script: the path of the script.
        @param output: called with lines that the script prints.
        @param complain: called with errors that nobody has caught, and with what the script prints as such.
        @raise InvalidArgument: the script can't be read.
        @raise NotSupported: the engine is not there.
        @raise GuestEnded: there is no memory for it.
        """
        path = Path(script).resolve()
        self._source = readScript(path)
        # In stacks, and what imports are relative to.
        self._name = path.name.replace(":", "_")
        self._reactor = reactor = theReactor(reactor)
        self._settings = settings
        self.code = 0
        self._output = Output(output, complain, reactor, self.stop, lambda: self._entries.inside)
        self._rejections = Rejections()
        self._entries = Entries(reactor, self._entered, self._failed)
        self._handles = Handles()
        self._waits = Waits(self._settle)
        self._timers = Timers(reactor, self._settle)
        most = settings.limits.memory
        self._sockets = Sockets(reactor, self._handles, self._waits, settings.network, most, self._blame)
        own: dict[str, Operation] = {"startup": self._startup, "exit": self._exit}
        messages = Messages(self._handles, most)
        self._fetches: Late[Fetches] = Late(FETCHES, self._makeFetches)
        self._servers: Late[Servers] = Late(SERVERS, self._makeServers)
        operated = (self._output, self._timers, self._sockets, messages, self._fetches, self._servers)
        parts = (own, *(each.operations() for each in operated))
        # Is the end near: at the reactor's next turn, or while what is written is still being sent?
        self._ending: IDelayedCall | None = None
        self._over = False
        self.done: Deferred[int] = Deferred(self._cancelled)
        host = ProgramHost(Modules(path.parent), self._rejections, parts, self._output.printed, self._handles.dropEach)
        self.guest = makeGuest(host, settings.limits)
        self._entries.goOnWith(self.guest.jobs)
        self._output.source = self.guest.flush
        for name in (BRIDGE, GLOBALS):
            self._entries.enter(self.guest.evaluate, name, ourSource(name))

    def run(self) -> Deferred[int]:
        """
        Run the script.

        @return: fires with the exit code when the program is over. Cancelling it is L{stop}.
        """
        self._evaluate(self._name, self._source)
        return self.done

    def callFunction(self, name: str) -> Deferred[int]:
        """
        Run the script as an excerpt, which has C{net} and C{http} as globals, and call a function of it.

        @return: as L{run} has it.
        @raise InvalidArgument: C{name} is no function's.
        """
        if _IDENTIFIER.fullmatch(name) is None:
            raise InvalidArgument(f"a function to call is one name, not {name!r}")
        self._evaluate("prelude.js", _PRELUDE)
        self._evaluate(self._name, self._source, False)
        self._evaluate("call.js", f"{name}()", False)
        return self.done

    def stop(self) -> None:
        """
        End the program now. Its connections are reset.
        """
        # Nothing of the script runs any more: else it would be told of its connections.
        self._entries.end()
        self._sockets.abortAll()
        if self._servers.part is not None:
            self._servers.part.abortAll()
        self._end()

    def drain(self) -> Deferred[int]:
        """
        Have the HTTP servers stop listening and answer the requests in flight, then end the program.

        @return: as L{run} has it.
        """
        servers = self._servers.part
        if servers is None:
            self.stop()
        elif not self._over:
            servers.drain().addBoth(lambda _: self.stop())
        return self.done

    def _evaluate(self, name: str, source: str, module: bool = True) -> None:
        self._entries.enter(self.guest.evaluate, name, source, module)
        self._look()

    # The parts that most programs don't need

    def _makeFetches(self) -> Fetches:
        from .fetches import Fetches

        return Fetches(self._reactor, self._handles, self._waits, self._settings.network)

    def _makeServers(self) -> Servers:
        from .servers import Servers

        complain = self._output.complain
        return Servers(self._reactor, self._handles, self._waits, self._settings, self._settle, complain)

    # The operations that are no part's

    def _startup(self, a: float, b: float, data: Given) -> Value:
        settings = self._settings
        return json.dumps({"argv": ["wasinet", self._name, *settings.arguments], "env": dict(settings.environment)})

    def _exit(self, a: float, b: float, data: Given) -> Value:
        self.code = whole("an exit code", a, 0, 255)
        # Nothing of the script runs after this.
        self._entries.end()
        self._soon(self._end)
        return Sign.LEAVE

    # Its turns

    def _settle(self, number: int, value: Value) -> None:
        self._entries.enter(self.guest.settle, number, value)

    def _entered(self, jobsLeft: bool) -> None:
        told = self._rejections.take(jobsLeft)
        if told:
            for text, _ in told:
                self._output.complain(text)
            told = [each for each in told if not self._rejections.isOfAClient(each[0])]
            if told and not self._over:
                self._judge(all(interrupted for _, interrupted in told))
        if self._output.failure is not None:
            self.stop()
        self._look()

    def _blame(self, error: BaseException) -> None:
        self._rejections.blame(messageOf(error))

    def _judge(self, interruptedOnly: bool) -> None:
        """
        Errors have been told that nobody has caught. A turn that was interrupted is one connection's affair: the
        others go on.
        """
        unhandled = not interruptedOnly and self._settings.failOnUnhandled
        if unhandled or interruptedOnly:
            self.code = self.code or FAILED
        if unhandled:
            self._end()

    def _failed(self, error: Exception) -> None:
        """
        The guest is no more, or there is no memory for a source.
        """
        self._output.flush()
        self._output.complain(f"the program was ended: {error}")
        self.code = FAILED
        self.stop()

    # Its end

    def _look(self) -> None:
        """
        If nothing is pending, the program ends, at the reactor's next turn.
        """
        if self._ending is None and self._isIdle():
            self._soon(self._endIfIdle)

    def _isIdle(self) -> bool:
        return not (self._waits or self._timers or self._servers.part) and self._entries.idle

    def _soon(self, end: Callable[[], object]) -> None:
        if self._over:
            return
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        self._ending = self._reactor.callLater(0, end)

    def _endIfIdle(self) -> None:
        self._ending = None
        if self._isIdle():
            self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        self._entries.end()
        self._timers.stop()
        self._waits.forget()
        servers, fetches = self._servers.part, self._fetches.part
        if servers is not None:
            servers.end()
        self._handles.dropAll()
        closing = [self._sockets.whenClosed()]
        if servers is not None:
            closing.append(servers.whenClosed())
        if fetches is not None:
            closing.append(fetches.close())
        DeferredList(closing).addBoth(self._closed)

    def _closed(self, _: object) -> None:
        if self._entries.inside:
            # Who was called by the script has stopped it.
            self._reactor.callLater(0, self._closed, None)
            return
        self._output.flush()
        self.guest.close()
        if self.done.called:
            return
        if self._output.failure is not None:
            self.done.errback(self._output.failure)
        else:
            self.done.callback(self.code)

    def _cancelled(self, done: Deferred[int]) -> None:
        done.errback(CancelledError())
        self.stop()
