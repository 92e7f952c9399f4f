"""
What C{--reload}, signals and the search for the app are made of, on a reactor in memory.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone, ProcessDone, ProcessTerminated
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.service.test_httpoptions import parse
from tests.support import temporaryDirectory
from wasinet_twisted.service import httpserving as command
from wasinet_twisted.service import reloading
from wasinet_twisted.service.adopting import AdoptingReactor
from wasinet_twisted.service.app import AppFailed, appFiles, loadApp
from wasinet_twisted.service.http import HttpAppService, makeService
from wasinet_twisted.service.listening import Launch
from wasinet_twisted.service.reloading import Reported, Supervisor, Worker, _Life
from wasinet_twisted.service.signals import Signals


class FakeReactor(MemoryReactorClock):
    """
    It starts workers that are none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.workers: list[Worker] = []
        self.environments: list[dict[str, str]] = []
        self.descriptors: list[dict[int, Any]] = []
        self.signals: list[int] = []
        self.closed: list[int] = []
        self.stops = 0
        self.calls: list[Any] = []

    def spawnProcess(
        self, protocol: Worker, executable: str, args: Any, env: Any, path: str, childFDs: dict[int, Any]
    ) -> None:
        self.workers.append(protocol)
        self.environments.append(env)
        self.descriptors.append(childFDs)
        protocol.transport = self  # type: ignore[assignment]

    def closeChildFD(self, descriptor: int) -> None:
        self.closed.append(descriptor)

    def signalProcess(self, number: int) -> None:
        self.signals.append(number)

    def stop(self) -> None:
        self.stops += 1

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        self.calls.append(function)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        return (descriptor, family, factory)


class InDirectory(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(os.path.realpath(temporaryDirectory(self)))
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory)
        self.patch(sys, "path", list(sys.path))
        self.addCleanup(self.forget, set(sys.modules))
        self.patch(sys, "__stderr__", StringIO())

    def forget(self, before: set[str]) -> None:
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(self.directory)):
                del sys.modules[name]

    def write(self, name: str, text: str = "") -> Path:
        path = self.directory / name
        path.write_text(text)
        # Two changes of one moment differ as well.
        self.clock = getattr(self, "clock", 10**9) + 1
        os.utime(path, (self.clock, self.clock))
        return path


class SupervisorTests(InDirectory):
    def setUp(self) -> None:
        super().setUp()
        self.reactor = FakeReactor()
        self.supervisor = Supervisor(
            Launch("wasinet-http"), ["tcp:1", "tcp:1", "unix:/run/x"], ["python", "x"], reactor=self.reactor
        )
        # Ports in memory have no descriptors.
        self.supervisor._listening.clear()

    def start(self) -> None:
        self.supervisor.startService()
        # Signals are the real process's.
        function, arguments, keywords = self.reactor.whenRunningHooks[-1]
        function(*arguments, **keywords)

    def reports(self, *files: Path, cut: int = 5, before: int = 0) -> None:
        """
        @param before: how long ago the worker has looked at them, in nanoseconds of their modification.
        """
        seen = {str(file): file.stat().st_mtime_ns - before if file.exists() else None for file in files}
        line = json.dumps(seen).encode() + b"\n"
        worker = self.reactor.workers[-1]
        worker.childDataReceived(3, line[:cut])
        worker.childDataReceived(3, line[cut:])

    def end(self, reason: Exception | None = None) -> None:
        self.reactor.workers[-1].processEnded(Failure(reason or ProcessDone(0)))

    def look(self) -> list[str]:
        with capturedLogs() as events:
            self.reactor.advance(0.5)
        return [formatEvent(event) for event in events]

    def test_itsSockets(self) -> None:
        """
        Each TCP endpoint's once, and nobody is accepted from it.
        """
        self.start()
        ((port, factory, _, _),) = self.reactor.tcpServers
        self.assertEqual(port, 1)
        self.assertFalse(factory.gate.isOpen())
        self.assertEqual(json.loads(self.reactor.environments[0]["WASINET_RELOAD"]), {})
        self.assertEqual(self.reactor.descriptors[0], {0: 0, 1: 1, 2: 2, 3: "r", 4: "w"})

    def test_aChange(self) -> None:
        app = self.write("app.py")
        self.start()
        self.assertEqual(self.look(), [])
        self.reports(app)
        self.assertEqual(self.look(), [])
        self.write("app.py", "a")
        self.assertEqual(self.look(), ["app.py has changed: restarting"])
        self.assertEqual((self.reactor.closed, len(self.reactor.workers)), ([4], 1))
        # It takes its time.
        self.assertEqual(self.look(), [])
        self.end()
        self.assertEqual(len(self.reactor.workers), 2)
        self.assertEqual(self.look(), [])
        self.assertEqual(self.reactor.signals, [])

    def test_aChangeBeforeTheReportComes(self) -> None:
        """
        What counts is what the worker has imported.
        """
        self.start()
        self.reports(self.write("app.py"), before=1000)
        self.assertEqual(self.look(), ["app.py has changed: restarting"])
        self.end()

    def test_aChangeWhileItStarts(self) -> None:
        """
        It has imported the old file, or the new one; who knows.
        """
        app = self.write("app.py")
        self.start()
        self.write("app.py", "a")
        self.reports(app)
        self.assertEqual(self.look(), ["app.py has changed: restarting"])

    def test_otherFiles(self) -> None:
        app = self.write("app.py")
        self.start()
        self.reports(app)
        self.write("other.py")
        self.assertEqual(self.look(), [])

    def test_aFileThatGoes(self) -> None:
        app = self.write("app.py")
        self.start()
        self.reports(app)
        app.unlink()
        self.assertEqual(self.look(), ["app.py has changed: restarting"])

    def test_itEndsByItself(self) -> None:
        """
        Then any file beside the app's may be what it lacked.
        """
        self.start()
        with capturedLogs() as events:
            self.end(ProcessTerminated(1))
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["the worker has ended with status 1; it is started again when a file changes"],
        )
        self.assertEqual(self.look(), [])
        self.write("app.py")
        self.assertEqual(self.look(), ["app.py has changed: restarting"])
        self.assertEqual(len(self.reactor.workers), 2)
        with capturedLogs() as events:
            self.end(ProcessTerminated(signal=signal.SIGSEGV))
        self.assertIn("SIGSEGV", formatEvent(events[0]))

    def test_aFileThatComesWhileItFails(self) -> None:
        self.start()
        self.write("app.py")
        with capturedLogs():
            self.end(ProcessTerminated(1))
        self.assertEqual(self.look(), ["app.py has changed: restarting"])

    def test_directoriesThatAreNews(self) -> None:
        """
        What was always there has not changed.
        """
        (self.directory / "shop").mkdir()
        module = self.write("shop/web.py")
        self.write("shop/other.py")
        self.start()
        self.reports(module)
        with capturedLogs():
            self.end(ProcessTerminated(1))
        self.assertEqual(self.look(), [])
        self.write("shop/third.py")
        self.assertEqual(self.look(), ["shop/third.py has changed: restarting"])

    def test_itWillNotEnd(self) -> None:
        app = self.write("app.py")
        self.start()
        self.reports(app)
        self.write("app.py", "a")
        self.look()
        self.reactor.advance(5.9)
        self.assertEqual(self.reactor.signals, [])
        self.reactor.advance(0.1)
        self.assertEqual(self.reactor.signals, [signal.SIGKILL])

    def test_stops(self) -> None:
        """
        The worker first.
        """
        self.start()
        stopped = self.supervisor.stopService()
        self.assertNoResult(stopped)
        self.assertEqual(self.reactor.closed, [4])
        self.end()
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopsWithoutAWorker(self) -> None:
        self.start()
        with capturedLogs():
            self.end(ProcessTerminated(1))
        self.successResultOf(self.supervisor.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class ReportedTests(InDirectory):
    """
    The worker's side of its pipes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.reading, writing = os.pipe()
        self.addCleanup(os.close, self.reading)
        self.addCleanup(os.close, writing)
        self.patch(reloading, "_REPORT", writing)
        self.patch(reloading, "_LIFE", self.reading)
        self.reactor = FakeReactor()
        self.patch(os, "environ", {**os.environ, "WASINET_RELOAD": json.dumps({"tcp:1": writing})})

    def test_reports(self) -> None:
        """
        Each file once.
        """
        reported = reloading.reported(self.reactor)
        assert reported is not None
        self.assertNotIn("WASINET_RELOAD", os.environ)
        reported.report({"b", "a"})
        reported.report({"a"})
        reported.report({"c", "a"})
        self.assertEqual(os.read(self.reading, 100), b'{"a": null, "b": null}\n{"c": null}\n')

    def test_noWorker(self) -> None:
        del os.environ["WASINET_RELOAD"]
        self.assertIsNone(reloading.reported(self.reactor))

    def test_inTheService(self) -> None:
        """
        Its requests have less time, it reports what is imported late, and the end of the pipe stops it.
        """
        reported = reloading.reported(self.reactor)
        added: list[Any] = []
        self.reactor.addReader = added.append  # type: ignore[method-assign]
        service = HttpAppService(parse("--listen=tcp:0"), lambda request: None, reported, reactor=self.reactor)
        service.startService()
        self.write("late.py", "def handler(): pass")
        loadApp("late:handler")
        self.reactor.advance(0.5)
        self.assertIn(str(self.directory / "late.py"), os.read(self.reading, 10_000).decode())
        (life,) = added
        self.assertEqual((life.fileno(), type(life.doRead())), (self.reading, ConnectionDone))
        for _ in range(2):
            life.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.reactor.stops, 1)
        stopped = service.stopService()
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_itsSockets(self) -> None:
        import socket

        descriptor = socket.create_server(("127.0.0.1", 0)).detach()
        os.environ["WASINET_RELOAD"] = json.dumps({"tcp:1": descriptor})
        reported = reloading.reported(self.reactor)
        assert reported is not None
        adopting = reported.reactorFor("tcp:1")
        factory = object()
        self.assertEqual(adopting.listenTCP(1, factory), (descriptor, socket.AF_INET, factory))
        # The reactor has a copy: this one would have the kernel accept connections for nobody.
        self.assertRaises(OSError, os.fstat, descriptor)
        self.assertIsInstance(adopting, AdoptingReactor)
        self.assertEqual(adopting.seconds(), 0)
        self.assertIs(reported.reactorFor("unix:/run/x"), self.reactor)

    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(reloading.IReadDescriptor, _Life(lambda: None)))
        self.assertEqual(_Life(lambda: None).logPrefix(), "reload")


class MakeServiceTests(InDirectory):
    def made(self, *arguments: str) -> Any:
        return makeService(parse("--listen=tcp:0", *arguments))

    def test_anApp(self) -> None:
        self.write("app.py", "def handler(request): pass")
        self.assertIsInstance(self.made(), HttpAppService)

    def test_noApp(self) -> None:
        error = self.assertRaises(SystemExit, self.made)
        self.assertEqual(error.code, 1)
        self.assertEqual(
            sys.__stderr__.getvalue(),
            "wasinet-http: can't import the app app:handler: ModuleNotFoundError: No module named 'app'\n",
        )

    def test_theParent(self) -> None:
        """
        It doesn't import the app.
        """
        self.assertIsInstance(self.made("--reload"), Supervisor)

    def test_theWorkersErrors(self) -> None:
        """
        Its parent hears which files matter.
        """
        reports: list[set[str]] = []

        class Recording(Reported):
            def __init__(self) -> None:
                """
                Without pipes.
                """

            def report(self, files: set[str]) -> None:
                reports.append(files)

        self.patch(command, "reported", lambda: Recording())
        app = self.write("app.py", "import helper")
        helper = self.write("helper.py", "x = = 1")
        self.assertRaises(SystemExit, self.made, "--reload")
        self.assertLessEqual({str(app), str(helper)}, reports[0])


class AppTests(InDirectory):
    def refused(self, text: str) -> str:
        return str(self.assertRaises(AppFailed, loadApp, text))

    def test_found(self) -> None:
        self.write("app.py", "class a:\n    @staticmethod\n    def b(request): pass")
        self.assertEqual(loadApp("app:a.b").__name__, "b")
        self.assertEqual(sys.path[0], str(self.directory))
        self.assertEqual(loadApp("app:a").__name__, "a")
        self.assertEqual(sys.path.count(str(self.directory)), 1)
        self.assertIn(str(self.directory / "app.py"), appFiles())

    def test_refused(self) -> None:
        app = self.write("app.py", "handler = 5\nclass a: pass")
        for text in ("", ":", "app", "app:", ":a", "app:a:b", "app.:a", "app:a.", "1:a", "a b:c", "app:a\n"):
            self.assertEqual(self.refused(text), f"--app must be like package.module:handler, not {text!r}")
        self.assertIn("must be a function that takes a request, not 5", self.refused("app:handler"))
        self.assertIn(f"type object 'a' has no attribute 'b' ({app})", self.refused("app:a.b"))
        self.assertIn("(no file)", self.refused("sys:nonsense"))

    def test_importErrors(self) -> None:
        app = self.write("app.py", "\nimport other")
        other = self.write("other.py", "\n\nraise KeyError('x')")
        error = self.assertRaises(AppFailed, loadApp, "app:handler")
        self.assertEqual(str(error), f"can't import the app app:handler: KeyError: 'x' ({other}, line 3)")
        self.assertLessEqual({str(app), str(other)}, error.files)


class SignalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.handlers: dict[int, Any] = {
            signal.SIGTERM: lambda *_: self.seen.append("stop"),
            signal.SIGINT: signal.SIG_IGN,
        }
        self.seen: list[Any] = []
        self.patch(signal, "getsignal", self.handlers.get)
        self.patch(signal, "signal", self.handlers.__setitem__)
        self.patch(os, "kill", lambda process, number: self.seen.append((process, number)))
        self.signals = Signals(Launch("x"), lambda: None, self.reactor)
        self.signals.installReload()
        self.signals.install()

    def send(self, number: int) -> None:
        self.handlers[number](number, None)

    def test_twice(self) -> None:
        self.send(signal.SIGTERM)
        self.assertEqual(self.seen, ["stop"])
        self.signals.stopping()
        self.send(signal.SIGTERM)
        self.assertEqual(self.seen, ["stop", (os.getpid(), signal.SIGTERM)])
        self.assertIs(self.handlers[signal.SIGTERM], signal.SIG_DFL)

    def test_ignored(self) -> None:
        """
        What a shell has ignored stays so.
        """
        self.assertIs(self.handlers[signal.SIGINT], signal.SIG_IGN)

    def test_afterAnotherEnd(self) -> None:
        """
        The process ends already: nothing is to be stopped, and only the second signal ends it at once.
        """
        self.signals.stop()
        self.signals.stop()
        self.assertEqual(self.reactor.stops, 1)
        self.send(signal.SIGTERM)
        self.assertEqual(self.seen, [])
        self.send(signal.SIGTERM)
        self.assertEqual(len(self.seen), 1)

    def test_afterASignal(self) -> None:
        self.send(signal.SIGTERM)
        self.signals.stop()
        self.assertEqual(self.reactor.stops, 0)

    def test_reload(self) -> None:
        self.send(signal.SIGHUP)
        self.assertEqual(len(self.reactor.calls), 1)

    def test_nothingToReload(self) -> None:
        del self.handlers[signal.SIGHUP]
        signals = Signals(Launch("x"), None, self.reactor)
        signals.installReload()
        signals.install()
        self.assertNotIn(signal.SIGHUP, self.handlers)
