"""
An app's startup and its shutdown. The time is a Clock's.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.server.support import get
from wasinet_twisted.asgi import AsgiApp, StartupFailed
from wasinet_twisted.asgi.interfaces import Receive, Scope, Send
from wasinet_twisted.errors import InvalidArgument

from .support import AsgiCase, body, start


class LifespanTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.waits: Deferred[None] = Deferred()

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def made(self, app: Any, mode: str = "auto") -> AsgiApp:
        return AsgiApp(app, lifespan=mode, reactor=self.clock)

    async def regular(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.told.append(scope["type"])
        self.told.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        self.told.append((await receive())["type"])
        await self.waits
        await send({"type": "lifespan.shutdown.complete"})

    def test_regular(self) -> None:
        app = self.made(self.regular)
        self.successResultOf(app.startup())
        self.assertEqual(self.told, ["lifespan", "lifespan.startup"])
        stopped = app.shutdown(5)
        self.assertEqual(self.told[2:], ["lifespan.shutdown"])
        self.assertNoResult(stopped)
        self.waits.callback(None)
        self.successResultOf(stopped)
        # Once is enough.
        self.successResultOf(app.shutdown(5))

    def test_waits(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await deferLater(self.clock, 5)
            await send({"type": "lifespan.startup.complete"})

        started = self.made(app).startup()
        self.clock.advance(4.9)
        self.assertNoResult(started)
        self.clock.advance(0.2)
        self.successResultOf(started)

    def test_fails(self) -> None:
        """
        The reason is one line: of a traceback the last one, and all of it is logged.
        """
        for message, expected, logged in (
            ({"message": "no database"}, "no database", False),
            ({}, "it gives no reason", False),
            ({"message": "Traceback:\n  File\nValueError: boom\n"}, "ValueError: boom", True),
        ):

            async def app(scope: Scope, receive: Receive, send: Send, message: Any = message) -> None:
                await receive()
                await send({"type": "lifespan.startup.failed", **message})
                raise RuntimeError("as Starlette does")

            with capturedLogs() as events:
                failure = self.failureResultOf(self.made(app).startup(), StartupFailed)
            self.assertEqual(str(failure.value), f"the app's startup failed: {expected}")
            self.assertEqual(any("File" in (formatEvent(event) or "") for event in events), logged)

    def test_takesNoPart(self) -> None:
        """
        An app that raises, or returns, is served without; unless it was required.
        """

        async def raises(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "http", "http only"

        async def returns(scope: Scope, receive: Receive, send: Send) -> None:
            pass

        for app, why in ((raises, "AssertionError: http only"), (returns, "it has returned without an answer")):
            made = self.made(app)
            self.successResultOf(made.startup())
            self.successResultOf(made.shutdown())
            failure = self.failureResultOf(self.made(app, "on").startup(), StartupFailed)
            self.assertEqual(str(failure.value), f"the app's startup failed: {why}")
        self.successResultOf(self.made(raises, "off").startup())

    def test_deadline(self) -> None:
        app = self.made(self.regular)
        app.startup()
        with capturedLogs() as events:
            stopped = app.shutdown(3)
            self.clock.advance(2.9)
            self.assertNoResult(stopped)
            self.clock.advance(0.2)
        self.successResultOf(stopped)
        self.assertEqual(formatEvent(events[0]), "the app's shutdown took more than 3 s and is cancelled")

    def test_byForce(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            while True:
                try:
                    await Deferred()
                except GeneratorExit:
                    raise
                except BaseException:
                    self.told.append("ignored")

        made = self.made(app)
        made.startup()
        stopped = made.shutdown(3)
        self.clock.advance(3)
        self.assertNoResult(stopped)
        self.clock.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(self.told, ["ignored"])

    def test_goesOnAfterItsEnd(self) -> None:
        """
        An app that asks for more after its shutdown is ended.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})

        made = self.made(app)
        self.successResultOf(made.startup())
        self.successResultOf(made.shutdown())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stoppedWhileItStarts(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await Deferred()
            finally:
                self.told.append("ended")

        made = self.made(app)
        started = made.startup()
        self.successResultOf(made.shutdown())
        self.assertEqual(self.told, ["ended"])
        self.failureResultOf(started, StartupFailed)

    def test_failsMeanwhile(self) -> None:
        """
        It is logged, and the app is served on.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await self.waits

        made = self.made(app)
        made.startup()
        self.waits.errback(ValueError("boom"))
        self.assertEqual([str(each.value) for each in self.flushLoggedErrors()], ["boom"])
        self.successResultOf(made.shutdown())

    def test_wrongMessages(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "http.response.start", "status": 200})

        failure = self.failureResultOf(self.made(app, "on").startup(), StartupFailed)
        self.assertIn("'http.response.start' has no place here", str(failure.value))

    def test_wrongOptions(self) -> None:
        self.assertRaises(InvalidArgument, self.made, self.regular, "always")
        app = self.made(self.regular, "off")
        self.assertRaises(InvalidArgument, app.shutdown, -1)


class StateTests(AsgiCase):
    def test_copied(self) -> None:
        """
        Each request gets a shallow copy.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                scope["state"]["shared"] = []
                await send({"type": "lifespan.startup.complete"})
                return
            scope["state"]["mine"] = scope["path"]
            scope["state"]["shared"].append(scope["path"])
            self.told.append(scope["state"])
            await send(start())
            await send(body())

        made = AsgiApp(app, reactor=self.clock)
        self.successResultOf(made.startup())
        self.serve(made)
        self.connect(get("/a"), get("/b"))
        self.assertEqual(self.told[0], {"shared": ["/a", "/b"], "mine": "/a"})
        self.assertEqual(self.told[1], {"shared": ["/a", "/b"], "mine": "/b"})


class AppTests(SynchronousTestCase):
    """
    What can't be an app says what it looks like.
    """

    def test_wrong(self) -> None:
        class Old:
            def __init__(self, scope: Any) -> None:
                pass

            async def __call__(self, receive: Any, send: Any) -> None:
                pass

        def wsgi(environ: Any, startResponse: Any) -> None:
            pass

        for app, expected in (
            (Old, "as in ASGI 2: asgiref.compatibility.guarantee_single_callable(app) wraps it"),
            (wsgi, "asgiref.wsgi.WsgiToAsgi(app) wraps it"),
            (lambda: None, "is it a factory, which makes the app?"),
            (lambda a, b, c, d: None, "an ASGI 3 app takes (scope, receive, send); this one is <function"),
            (5, "an ASGI app must be callable, not 5"),
        ):
            error = self.assertRaises(InvalidArgument, AsgiApp, app, reactor=Clock())
            self.assertIn(expected, str(error))

    def test_right(self) -> None:
        class Instance:
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                pass

        class Awaited:
            def __init__(self, scope: Any, receive: Any, send: Any) -> None:
                pass

        for app in (Instance(), Awaited, lambda *given: None, Instance().__call__):
            AsgiApp(app, reactor=Clock())  # type: ignore[arg-type]
