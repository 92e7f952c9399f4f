"""
What the tests of ASGI share: a server in memory that serves an app.
"""

from __future__ import annotations

from typing import Any

from tests.server.support import MemoryServerCase
from tests.support import MemoryPeer
from wasinet_twisted.asgi import AsgiApp
from wasinet_twisted.asgi.interfaces import App, Message, Receive, Scope, Send


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


class AsgiCase(MemoryServerCase):
    """
    @ivar told: what the app keeps of what it has seen.
    """

    def setUp(self) -> None:
        super().setUp()
        self.told: list[Any] = []

    def app(self, app: App, limits: dict[str, Any] | None = None, **options: Any) -> None:
        """
        Serve an app.
        """
        self.serve(AsgiApp(app, reactor=self.clock, **options), **(limits or {}))

    def sending(self, *messages: Message) -> App:
        """
        An app that sends these, and keeps what it is raised.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for message in messages:
                try:
                    await send(message)
                except Exception as error:
                    self.told.append(error)
                    raise

        return app

    def ask(self, app: App, *sent: bytes, **options: Any) -> MemoryPeer:
        """
        Serve an app, and send it something.
        """
        self.app(app, **options)
        return self.connect(*sent)

    def failed(self, count: int = 1) -> list[str]:
        """
        What has been logged as failed.
        """
        failures = self.flushLoggedErrors()
        self.assertEqual(len(failures), count, failures)
        return [str(each.value) for each in failures]
