"""
C{--reload}: a parent that keeps the listening sockets, and starts its worker anew when the app's files change.

The worker is the same command again. It tells its parent by a pipe which
files it has imported, and stops when another pipe ends: so it also goes when
the parent is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..net.reactors import theReactor
from .adopting import TCP, AdoptingReactor, held
from .app import appFiles
from .command import CommandService
from .listening import Launch, ListeningService

log = Logger()

# How often it is looked at the files, in seconds.
INTERVAL = 0.5
# How long the worker lets requests go on, and after how long it is killed.
WORKER_DRAIN = 2.0
_KILL = 6.0

# Where the worker finds its sockets: a JSON object of their descriptors by endpoint.
_VARIABLE = "WASINET_RELOAD"
_REPORT = 3
_LIFE = 4
_FIRST = 5


class Supervisor(CommandService):
    """
    The parent.
    """

    def __init__(
        self, launch: Launch, endpoints: Sequence[str], command: Sequence[str], *, reactor: Any = None
    ) -> None:
        """
        @param command: what starts the worker.
        """
        super().__init__(launch, reloads=False, reactor=reactor)
        self._command = command
        self._directory = os.getcwd()
        self._listening: dict[str, ListeningService] = {}
        for endpoint in endpoints:
            # The file of a Unix socket is its listener's to remove.
            if endpoint.startswith(TCP) and endpoint not in self._listening:
                service = held(endpoint, launch, reactor)
                service.setServiceParent(self)
                self._listening[endpoint] = service
        self._files: set[str] = set()
        # When they were last modified, and which directories were looked into, when the worker was started.
        self._seen: dict[str, int | None] = {}
        self._listed: set[str] = set()
        self._looking = LoopingCall(self._look)
        self._looking.clock = self._reactor
        self._worker: Worker | None = None
        self._stopped: Deferred[None] | None = None
        self._restarting = False

    def startService(self) -> None:
        """
        Start the worker once the reactor runs.
        """
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        self._startWorker()
        self._looking.start(INTERVAL, now=False)

    def stopService(self) -> Deferred[None]:
        """
        Stop the worker, then the sockets.
        """
        if self._looking.running:
            self._looking.stop()
        if self._worker is None:
            return super().stopService()  # type: ignore[no-any-return]
        self._stopped = Deferred()
        self._worker.stop()
        return self._stopped.addCallback(lambda _: CommandService.stopService(self))

    def _startWorker(self) -> None:
        # Whatever changes while it starts has changed.
        now = self._modifications()
        for file in now.keys() & self._seen.keys():
            if now[file] != self._seen[file]:
                _forgetBytecode(file)
        self._seen = now
        self._listed = self._directories()
        ports = {text: service.port for text, service in self._listening.items()}
        descriptors = {text: port.fileno() for text, port in ports.items() if port is not None}  # type: ignore[attr-defined]
        theirs = {text: _FIRST + number for number, text in enumerate(descriptors)}
        files: dict[int, int | str] = {0: 0, 1: 1, 2: 2, _REPORT: "r", _LIFE: "w"}
        files |= {theirs[text]: descriptor for text, descriptor in descriptors.items()}
        self._worker = Worker(self, self._reactor)
        self._reactor.spawnProcess(
            self._worker,
            self._command[0],
            self._command,
            env={**os.environ, _VARIABLE: json.dumps(theirs)},
            path=self._directory,
            childFDs=files,
        )

    def imported(self, files: dict[str, int | None]) -> None:
        """
        The worker has imported these.

        @param files: with each its time of modification as the worker has seen it: the file may have changed since.
        """
        for file, modified in files.items():
            self._files.add(file)
            self._seen.setdefault(file, modified)

    def ended(self, reason: Failure) -> None:
        """
        The worker has ended.
        """
        self._worker = None
        if self._stopped is not None:
            self._stopped.callback(None)
        elif self._restarting:
            self._restarting = False
            self._startWorker()
        else:
            # What has changed or come since it was started may help already; into other directories nobody has looked.
            now = self._modifications()
            new = self._directories() - self._listed
            self._seen = {file: now[file] for file in now if os.path.dirname(file) in new} | self._seen
            status: Any = reason.value
            how = f"status {status.exitCode}" if status.signal is None else signal.Signals(status.signal).name
            log.warn("the worker has ended with {how}; it is started again when a file changes", how=how)

    def _modifications(self) -> dict[str, int | None]:
        files = set(self._files)
        if self._worker is None:
            # What it lacks may be a file that is not there yet.
            for directory in self._directories():
                if os.path.isdir(directory):
                    files |= {os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(".py")}
        return {file: _modified(file) for file in files}

    def _directories(self) -> set[str]:
        return {self._directory, *map(os.path.dirname, self._files)}

    def _look(self) -> None:
        if self._restarting:
            return
        now = self._modifications()
        files = now.keys() if self._worker is not None else now.keys() | self._seen.keys()
        changed = sorted(file for file in files if now.get(file) != self._seen.get(file))
        if not changed:
            return
        log.info("{file} has changed: restarting", file=os.path.relpath(changed[0], self._directory))
        if self._worker is None:
            self._startWorker()
        else:
            self._restarting = True
            self._worker.stop()


class Worker(ProcessProtocol):
    """
    The worker, as its parent sees it.
    """

    def __init__(self, supervisor: Supervisor, reactor: Any) -> None:
        self._supervisor = supervisor
        self._reactor = reactor
        self._line = b""
        self._kill: IDelayedCall | None = None

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        It reports.
        """
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._supervisor.imported(json.loads(line))

    def stop(self) -> None:
        """
        Let it end.
        """
        self.transport.closeChildFD(_LIFE)  # type: ignore[union-attr]
        if self._kill is None:
            self._kill = self._reactor.callLater(_KILL, self._killNow)

    def _killNow(self) -> None:
        self.transport.signalProcess(signal.SIGKILL)  # type: ignore[union-attr]

    def processEnded(self, reason: Failure) -> None:
        """
        It has ended.
        """
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        self._supervisor.ended(reason)


class Reported(Service):
    """
    The worker's side: tells which files have been imported, and stops with the parent.
    """

    def __init__(self, sockets: dict[str, int], *, reactor: Any = None) -> None:
        self.sockets = sockets
        self._reactor: Any = theReactor(reactor)
        self._reported: set[str] = set()
        self._looking = LoopingCall(self._look)
        self._looking.clock = self._reactor
        # Nothing that the app starts is to keep these open.
        for descriptor in (_REPORT, _LIFE, *sockets.values()):
            os.set_inheritable(descriptor, False)

    def report(self, files: set[str]) -> None:
        """
        Tell the parent of these files.
        """
        new = files - self._reported
        self._reported |= new
        if new:
            modified = {file: _modified(file) for file in sorted(new)}
            os.write(_REPORT, json.dumps(modified).encode("ascii") + b"\n")

    def _look(self) -> None:
        self.report(appFiles())

    def startService(self) -> None:
        """
        Report, again and again: some modules are imported late.
        """
        super().startService()
        self._looking.start(INTERVAL)
        command: Any = self.parent
        self._reactor.addReader(_Life(command.stop))

    def stopService(self) -> None:
        """
        Report no more.
        """
        super().stopService()
        if self._looking.running:
            self._looking.stop()

    def reactorFor(self, endpoint: str) -> Any:
        """
        A reactor for the endpoint: it takes the parent's socket, if there is one.
        """
        descriptor = self.sockets.get(endpoint)
        return self._reactor if descriptor is None else AdoptingReactor(self._reactor, descriptor)


def reported(reactor: Any = None) -> Reported | None:
    """
    @return: L{None} if this is no worker.
    """
    text = os.environ.pop(_VARIABLE, None)
    return None if text is None else Reported(json.loads(text), reactor=reactor)


@implementer(IReadDescriptor)
class _Life:
    """
    The pipe whose end says to stop.
    """

    def __init__(self, ended: Callable[[], object]) -> None:
        self._ended = ended

    def fileno(self) -> int:
        return _LIFE

    def doRead(self) -> Any:
        # Some reactors tell of the end like this; nothing else is there to be read.
        return CONNECTION_DONE

    def connectionLost(self, reason: Failure) -> None:
        self._ended()

    def logPrefix(self) -> str:
        return "reload"


def commandAgain(arguments: Sequence[str], *, pidFile: bool) -> list[str]:
    """
    What starts the same command again.

    @param arguments: the command's own, which stand at the end.
    @param pidFile: is it twistd, which would find its own PID file?
    """
    end = len(sys.orig_argv) - len(arguments) - 1
    return [sys.executable, *sys.orig_argv[1:end], *(["--pidfile="] if pidFile else []), *sys.orig_argv[end:]]


def _forgetBytecode(file: str) -> None:
    """
    Remove what Python has kept of a changed module: it knows the change by whole seconds and the size alone (PEP 3147),
    and takes an edit of the same second and length for none.
    """
    if file.endswith(".py"):
        with suppress(OSError):
            os.unlink(cache_from_source(file))


def _modified(file: str) -> int | None:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return None
