"""
Small programs of Twisted's and of others', as they are written everywhere: a server, and a client that asks it again
and again. Nothing in them knows of this package.

C{python -m benchmarks.peers.programs REACTOR PROGRAM ROLE PORT SECONDS}: the client prints a line when it has warmed
up, waits for one, asks for so many seconds, and prints how often and how much CPU time it took.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from .tcptwisted import REACTORS

LOCAL = "127.0.0.1"
# How many clients there are.
CLIENTS = 50
MESSAGE = bytes(range(64))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"


class Asker:
    """
    Clients that ask, each again as soon as it has its answer.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._count = 0
        self._until = float("inf")
        self._ready = time.monotonic() + min(seconds, 0.3)

    def answered(self, count: int = 1) -> None:
        """
        Count an answer; begin and end the time that counts.
        """
        self._count += count
        now = time.monotonic()
        if self._ready and now > self._ready:
            self._ready = 0.0
            print("ready", flush=True)
            sys.stdin.readline()
            self._count, self._cpu = 0, _cpu()
            self._until = time.monotonic() + self._seconds
        elif now > self._until:
            print(json.dumps({"count": self._count, "cpu": _cpu() - self._cpu}), flush=True)
            os._exit(0)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _listen(port: int, protocol: Any, wrap: Callable[[Any], Any] = lambda factory: factory) -> None:
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory

    factory = wrap(Factory.forProtocol(protocol))
    factory.noisy = False
    reactor.listenTCP(port, factory, backlog=1024, interface=LOCAL)  # type: ignore[attr-defined]


def _asking(asker: Asker, port: int, ask: bytes, size: int, again: bool = False, tls: bool = False) -> None:
    """
    @param size: of an answer.
    @param again: is each asked over a connection of its own?
    """
    from twisted.internet import endpoints, reactor, ssl
    from twisted.internet.protocol import Factory, Protocol

    class Asking(Protocol):
        transport: Any
        left = size

        def connectionMade(self) -> None:
            self.transport.setTcpNoDelay(True)
            self.transport.write(ask)

        def dataReceived(self, data: bytes) -> None:
            self.left -= len(data)
            if self.left == 0 and not again:
                self.left = size
                asker.answered()
                self.transport.write(ask)

        def connectionLost(self, reason: Any = None) -> None:
            assert again, reason
            assert self.left == 0, reason
            asker.answered()
            connect()

    def connect() -> None:
        endpoint: Any = endpoints.TCP4ClientEndpoint(reactor, LOCAL, port)
        if tls:
            endpoint = endpoints.wrapClientTLS(ssl.CertificateOptions(verify=False), endpoint)
        endpoint.connect(Factory.forProtocol(Asking))

    for _ in range(CLIENTS):
        connect()


class Echo:
    """
    What comes is sent back: 64 bytes, on 50 connections.
    """

    title = "echo of 64 bytes"
    tls = False

    def serve(self, port: int) -> None:
        from twisted.internet.protocol import Protocol

        class Echoing(Protocol):
            transport: Any

            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)

        _listen(port, Echoing, self.wrap)

    def wrap(self, factory: Any) -> Any:
        return factory

    def ask(self, port: int, asker: Asker) -> None:
        _asking(asker, port, MESSAGE, len(MESSAGE), tls=self.tls)


class TlsEcho(Echo):
    """
    The same over TLS.
    """

    title = "the same over TLS"
    tls = True

    def wrap(self, factory: Any) -> Any:
        import tempfile
        from pathlib import Path

        from twisted.internet import reactor, ssl
        from twisted.protocols.tls import TLSMemoryBIOFactory

        from tests.certificates import Authority

        with tempfile.TemporaryDirectory() as folder:
            pem = Authority(Path(folder)).issue("localhost").read_bytes()
        context = ssl.PrivateCertificate.loadPEM(pem).options()
        return TLSMemoryBIOFactory(context, False, factory, reactor)


class Receive:
    """
    Messages of 1 KiB that nobody answers, a burst at a time.
    """

    title = "receive only, 1 KiB"
    burst = 64

    def serve(self, port: int) -> None:
        from twisted.internet.protocol import Protocol

        class Counting(Protocol):
            transport: Any
            got = 0

            def dataReceived(self, data: bytes) -> None:
                self.got += len(data)
                if self.got >= Receive.burst * 1024:
                    self.got -= Receive.burst * 1024
                    self.transport.write(b"x")

        _listen(port, Counting)

    def ask(self, port: int, asker: Asker) -> None:
        _asking(asker, port, bytes(1024 * self.burst), 1)


class Web:
    """
    A Resource of twisted.web's.
    """

    title = "twisted.web"
    ask_ = b"GET /path HTTP/1.1\r\nHost: localhost\r\n\r\n"
    again = False

    def serve(self, port: int) -> None:
        from twisted.internet import reactor
        from twisted.web.server import Site

        from .twistedweb import Answers

        reactor.listenTCP(port, Site(Answers()), backlog=1024, interface=LOCAL)  # type: ignore[attr-defined]

    def ask(self, port: int, asker: Asker) -> None:
        import socket

        with socket.create_connection((LOCAL, port)) as once:
            once.sendall(self.ask_)
            size = len(once.recv(65536))
        _asking(asker, port, self.ask_, size, self.again)


class Closing(Web):
    """
    The same, with a connection for each request.
    """

    title = "twisted.web, Connection: close"
    ask_ = b"GET /path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    again = True


class Spread:
    """
    Calls of Perspective Broker.
    """

    title = "Perspective Broker"

    def serve(self, port: int) -> None:
        from twisted.internet import reactor
        from twisted.spread import pb

        class Root(pb.Root):
            def remote_echo(self, data: bytes) -> bytes:
                return data

        reactor.listenTCP(port, pb.PBServerFactory(Root()), interface=LOCAL)  # type: ignore[attr-defined]

    def ask(self, port: int, asker: Asker) -> None:
        from twisted.internet import reactor
        from twisted.spread import pb

        def call(_: object, root: Any) -> None:
            if _ is not None:
                asker.answered()
            root.callRemote("echo", MESSAGE).addCallback(call, root)

        for _ in range(CLIENTS):
            factory = pb.PBClientFactory()
            factory.noisy = False
            reactor.connectTCP(LOCAL, port, factory)  # type: ignore[attr-defined]
            factory.getRootObject().addCallback(lambda root: call(None, root))


class Socket:
    """
    Messages over Autobahn's WebSockets.
    """

    title = "autobahn, WebSocket echo"
    packages = ("autobahn",)

    def _modules(self) -> Any:
        from autobahn.twisted import websocket

        return websocket

    def serve(self, port: int) -> None:
        from twisted.internet import reactor

        websocket = self._modules()

        class Echoing(websocket.WebSocketServerProtocol):  # type: ignore[misc]
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                self.sendMessage(payload, isBinary)

        factory = websocket.WebSocketServerFactory()
        factory.protocol = Echoing
        reactor.listenTCP(port, factory, interface=LOCAL)  # type: ignore[attr-defined]

    def ask(self, port: int, asker: Asker) -> None:
        from twisted.internet import reactor

        websocket = self._modules()

        class Asking(websocket.WebSocketClientProtocol):  # type: ignore[misc]
            def onOpen(self) -> None:
                self.sendMessage(MESSAGE, True)

            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                asker.answered()
                self.sendMessage(MESSAGE, True)

        for _ in range(CLIENTS):
            factory = websocket.WebSocketClientFactory(f"ws://{LOCAL}:{port}")
            factory.protocol = Asking
            reactor.connectTCP(LOCAL, port, factory)  # type: ignore[attr-defined]


class Treq:
    """
    Requests of treq's, each of C{CLIENTS} after the other. Of this the client is measured.
    """

    title = "treq, the client"
    packages = ("treq",)
    client = True

    def serve(self, port: int) -> None:
        from twisted.internet.protocol import Protocol

        class Canned(Protocol):
            transport: Any

            def dataReceived(self, data: bytes) -> None:
                self.transport.write(ANSWER)

        _listen(port, Canned)

    def ask(self, port: int, asker: Asker) -> None:
        import treq
        from twisted.internet import reactor
        from twisted.internet.defer import ensureDeferred
        from twisted.web.client import Agent, HTTPConnectionPool

        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = CLIENTS
        client = treq.client.HTTPClient(Agent(reactor, pool=pool))

        async def asking() -> None:
            while True:
                response = await client.get(f"http://{LOCAL}:{port}/")
                assert await response.content() == b"hello"
                asker.answered()

        for _ in range(CLIENTS):
            ensureDeferred(asking())


class Names:
    """
    Questions to twisted.names, over UDP.
    """

    title = "twisted.names, DNS over UDP"

    def serve(self, port: int) -> None:
        from twisted.internet import reactor
        from twisted.names import dns, server

        class Fixed:
            def query(self, query: Any, timeout: Any = None) -> Any:
                from twisted.internet.defer import succeed

                return succeed(([dns.RRHeader(query.name.name, dns.A, dns.IN, 60, dns.Record_A("192.0.2.1"))], [], []))

        factory = server.DNSServerFactory(clients=[Fixed()])
        # By which the harness sees that it listens.
        reactor.listenTCP(port, factory, interface=LOCAL)  # type: ignore[attr-defined]
        reactor.listenUDP(port, dns.DNSDatagramProtocol(factory), interface=LOCAL)  # type: ignore[attr-defined]

    def ask(self, port: int, asker: Asker) -> None:
        from twisted.internet import reactor
        from twisted.internet.protocol import DatagramProtocol
        from twisted.names import dns

        question = dns.Message(1, recDes=1)
        question.addQuery(b"example.org", dns.A)
        wire = question.toStr()

        class Asking(DatagramProtocol):
            transport: Any

            def startProtocol(self) -> None:
                self.transport.connect(LOCAL, port)
                self.transport.write(wire)

            def datagramReceived(self, data: bytes, address: Any) -> None:
                asker.answered()
                self.transport.write(wire)

        for _ in range(CLIENTS):
            reactor.listenUDP(0, Asking(), interface=LOCAL)  # type: ignore[attr-defined]


PROGRAMS: dict[str, Any] = {
    "echo": Echo,
    "tls": TlsEcho,
    "web": Web,
    "close": Closing,
    "autobahn": Socket,
    "pb": Spread,
    "treq": Treq,
    "dns": Names,
    "receive": Receive,
}


def main(reactor: str, program: str, role: str, port: int, seconds: float) -> None:
    warnings.simplefilter("ignore")
    REACTORS[reactor]()
    from twisted.internet import reactor as theReactor

    made = PROGRAMS[program]()
    if role == "serve":
        made.serve(port)
    else:
        theReactor.callWhenRunning(made.ask, port, Asker(seconds))  # type: ignore[attr-defined]
    theReactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5]))
