"""
What we use of Twisted and pyOpenSSL that they keep to themselves is where it was. Where it isn't, nothing fails open.
"""

from __future__ import annotations

import os
import socket
from asyncio import new_event_loop
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import endpoints, posixbase, ssl, tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import DebugInfo, Deferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
)
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.haproxy import proxyEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import _newclient
from twisted.web.http_headers import Headers

import wasinet_twisted
from wasinet_twisted._privates import (
    adoptUnixPort,
    certificateOptionsOf,
    interfaceOf,
    leaveShared,
    plaintextBytes,
    pollerOf,
    portOf,
    protocolsOf,
    proxiedEndpoint,
    rawHeaders,
    setAlpnSelect,
    setContextFactory,
    sslArguments,
    unsentBytes,
    wrongBodyLength,
)
from wasinet_twisted.errors import InvalidArgument, NotSupported
from wasinet_twisted.net import ConnectionFactory, TlsServer, WasiTcpConn, WasiTcpServer
from wasinet_twisted.net.server.endpoints import endpointFromString
from wasinet_twisted.service.certificates import withCertificates
from wasinet_twisted.service.http import Options
from wasinet_twisted.testing import Link

from .certificates import Authority
from .imports import ownNames, privateNames
from .support import temporaryDirectory

pytestmark = pytest.mark.reactorless

ROOT = Path(wasinet_twisted.__file__).parent

SSL_ARGUMENTS = {
    *("factory", "port", "privateKey", "certKey", "sslmethod", "interface", "backlog", "extraCertChain", "dhParameters")
}


async def neverCalled(conn: WasiTcpConn) -> None:
    """
    A handler.
    """


class Parser:
    """
    What Twisted has for each kind of endpoint string.
    """

    def __init__(self, endpoint: TCP4ServerEndpoint) -> None:
        self._endpoint = endpoint

    def parseStreamServer(self, reactor: object) -> TCP4ServerEndpoint:
        return self._endpoint


class SendQueueTests(SynchronousTestCase):
    def test_unsentBytes(self) -> None:
        link = Link(Clock(), window=1000)
        server = ConnectionFactory(neverCalled, reactor=link.clock)
        link.beginClient(ConnectionFactory(self._write, reactor=link.clock).buildProtocol(None))
        link.beginServer(server.buildProtocol(None))
        transport = link.clientTransport
        self.assertEqual(unsentBytes(transport), 5000, "Twisted moved FileDescriptor.dataBuffer or _tempDataLen")
        self.conn.abort()
        link.settle()

    async def _write(self, conn: WasiTcpConn) -> None:
        self.conn = conn
        conn.write(bytes(2000))
        conn.write(bytes(3000))
        await conn.whenClosed()

    def test_aTransportThatDoesNotTell(self) -> None:
        self.assertIsNone(unsentBytes(object()))
        self.assertEqual(plaintextBytes(object()), 0)

    def test_plaintextBytes(self) -> None:
        """
        First the small writes of a turn wait for each other, then they wait for the handshake.
        """
        clock: Any = Clock()
        settings: Any = TlsServer(Authority(temporaryDirectory(self)).issue("localhost"))
        tls = TLSMemoryBIOFactory(settings, False, Factory.forProtocol(Protocol), clock).buildProtocol(None)
        assert tls is not None
        tls.makeConnection(StringTransport())
        self.assertEqual(plaintextBytes(tls), 0)
        tls.write(b"one")
        tls.write(b"four")
        self.assertEqual(plaintextBytes(tls), 7, "Twisted moved BufferingTLSTransport._aggregator or its _buffer")
        clock.advance(0)
        self.assertEqual(plaintextBytes(tls), 7, "Twisted moved TLSMemoryBIOProtocol._appSendBuffer")

    def test_sendDirectly(self) -> None:
        for kind in (tcp.Server, unix.Server):
            self.assertFalse(kind.TLS, f"Twisted moved {kind}.TLS")
        # And _tempDataLen, for which test_transports looks.


class ProxiedEndpointTests(SynchronousTestCase):
    """
    C{_WrapperServerEndpoint._wrapperFactory} and C{_wrappedEndpoint}.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.inner = TCP4ServerEndpoint(self.reactor, 8000)
        self.kind = type(proxyEndpoint(self.inner))

    def test_whereTheyWere(self) -> None:
        message = "Twisted moved _WrapperServerEndpoint._wrapperFactory or _wrappedEndpoint, or what haproxy: makes"
        self.assertIs(proxiedEndpoint(proxyEndpoint(self.inner)), self.inner, message)
        inner = proxiedEndpoint(serverFromString(self.reactor, "haproxy:tcp:8000"))
        self.assertIsInstance(inner, TCP4ServerEndpoint, message)

    def test_others(self) -> None:
        self.assertIsNone(proxiedEndpoint(self.inner))
        self.assertIsNone(proxiedEndpoint(self.kind(self.inner, lambda factory: factory)))

    def test_moved(self) -> None:
        """
        The endpoint is refused: it could be listened on, and would wait for a header for ever.
        """
        for name in ("_wrapperFactory", "_wrappedEndpoint"):
            moved = proxyEndpoint(self.inner)
            delattr(moved, name)
            self.assertRaises(NotSupported, WasiTcpServer, moved, reactor=self.reactor)
            factory = ConnectionFactory(neverCalled, reactor=self.reactor)
            self.assertRaises(NotSupported, factory.listen, moved)
        self.assertEqual(self.reactor.tcpServers, [])

    def test_stringsThatBecomeSomethingElse(self) -> None:
        """
        Should C{haproxy:} make another kind of endpoint than C{proxyEndpoint}, that is refused as well.
        """
        self.patch(self.kind, "__init__", lambda self, inner, factory: None)
        error = self.assertRaises(InvalidArgument, endpointFromString, self.reactor, "haproxy:tcp:8000")
        self.assertIn("this version of Twisted", str(error))
        self.patch(endpoints, "_parseServer", lambda text, reactor: (Parser(self.inner), (), {}))
        error = self.assertRaises(InvalidArgument, endpointFromString, self.reactor, "haproxy:tcp:8000")
        self.assertIn("without a deadline", str(error))


class InterfaceTests(SynchronousTestCase):
    """
    C{TCP4ServerEndpoint._interface} and C{_port}.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def made(self) -> list[Any]:
        context = ssl.CertificateOptions()
        return [
            TCP4ServerEndpoint(self.reactor, 8000, interface="127.0.0.9"),
            TCP6ServerEndpoint(self.reactor, 8000, interface="::9"),
            SSL4ServerEndpoint(self.reactor, 8000, context, interface="127.0.0.9"),
        ]

    def test_whereItWas(self) -> None:
        for endpoint in self.made():
            kind = type(endpoint).__name__
            self.assertEqual(portOf(endpoint), 8000, f"Twisted moved {kind}._port")
            self.assertIn(interfaceOf(endpoint), ("127.0.0.9", "::9"), f"Twisted moved {kind}._interface")
        for kind, everywhere in ((TCP4ServerEndpoint, ""), (TCP6ServerEndpoint, "::")):
            self.assertEqual(interfaceOf(kind(self.reactor, 8000)), everywhere)

    def test_socketsWithoutOne(self) -> None:
        self.assertIsNone(interfaceOf(UNIXServerEndpoint(self.reactor, "/run/x")))
        self.assertIsNone(portOf(UNIXServerEndpoint(self.reactor, "/run/x")))

    def test_moved(self) -> None:
        for endpoint in self.made():
            del endpoint._interface, endpoint._port
            error = self.assertRaises(NotSupported, interfaceOf, endpoint)
            self.assertIn(type(endpoint).__name__, str(error))
            self.assertIsNone(portOf(endpoint))

    def test_unknownEndpoints(self) -> None:
        self.assertRaises(NotSupported, interfaceOf, endpoints.StandardIOEndpoint(self.reactor))

    def test_theStatusPage(self) -> None:
        """
        It isn't shown where everybody may look, but refused.
        """
        self.patch(
            endpoints._TCPServerEndpoint,
            "__init__",
            lambda self, reactor, port, backlog, interface: setattr(self, "_port", port),
        )
        for text in ("tcp:8001", "tcp:8001:127.0.0.1"):
            error = self.assertRaises(UsageError, Options().parseOptions, ["--app=x:y", f"--status={text}"])
            self.assertIn(f"--status: can't find out which interface {text} listens on", str(error))
        # This one says so itself.
        Options().parseOptions(["--app=x:y", "--status=tcp:8001:interface=127.0.0.1"])


class CertificatesTests(SynchronousTestCase):
    """
    C{endpoints._parse}, C{_parseSSL} and C{SSL4ServerEndpoint._sslContextFactory}.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.pem = Authority(temporaryDirectory(self)).issue("localhost")
        self.text = f"ssl:8000:privateKey={self.pem}"

    def test_sslArguments(self) -> None:
        for text in (self.text, "haproxy:" + self.text):
            given = sslArguments(text)
            self.assertEqual(set(given), SSL_ARGUMENTS, "Twisted changed the arguments of endpoints._parseSSL")
            self.assertEqual((given["port"], given["privateKey"]), ("8000", os.fspath(self.pem)))

    def test_contextFactory(self) -> None:
        """
        What is set is what the endpoint listens with.
        """
        ours = TlsServer(self.pem)
        endpoint: Any = serverFromString(self.reactor, self.text)
        setContextFactory(endpoint, ours)
        endpoint.listen(Factory())
        used = self.reactor.sslServers[0][2]
        self.assertIs(used, ours, "Twisted moved SSL4ServerEndpoint._sslContextFactory")

    def test_moved(self) -> None:
        """
        Nobody is told that a certificate was renewed: the endpoint is refused.
        """
        endpoint: Any = endpointFromString(self.reactor, self.text)
        del endpoint._sslContextFactory
        self.assertRaises(NotSupported, withCertificates, endpoint, self.text, [])
        endpoint = endpointFromString(self.reactor, self.text)
        for name in ("_parse", "_parseSSL"):
            patch = self.patch(endpoints, name, None)
            delattr(endpoints, name)
            self.assertRaises(NotSupported, withCertificates, endpoint, self.text, [])
            patch.restore()


class AlpnTests(SynchronousTestCase):
    """
    How a connection leads to its C{CertificateOptions}; and pyOpenSSL's guard of contexts in use.
    """

    def factory(self, contextFactory: Any) -> Any:
        return TLSMemoryBIOFactory(contextFactory, False, Factory())

    def test_certificateOptions(self) -> None:
        options = ssl.CertificateOptions(acceptableProtocols=[b"http/1.1"])
        self.assertIs(
            certificateOptionsOf(self.factory(options)),
            options,
            "Twisted moved TLSMemoryBIOFactory._creatorCallable, or what is in its closure",
        )
        self.assertEqual(protocolsOf(options), (b"http/1.1",), "Twisted moved CertificateOptions._acceptableProtocols")
        self.assertEqual(protocolsOf(ssl.CertificateOptions()), ())

    def test_others(self) -> None:
        self.assertIsNone(certificateOptionsOf(self.factory(TlsServer(Authority(temporaryDirectory(self)).issue("x")))))
        self.assertIsNone(certificateOptionsOf(object()))

    def test_contextsInUse(self) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        SSL.Connection(context)
        select: Callable[..., Any] = lambda connection, offered: offered[0]  # noqa: E731
        self.assertRaises(ValueError, context.set_alpn_select_callback, select)
        before = context._alpn_select_callback
        setAlpnSelect(context, select)
        self.assertIsNot(
            context._alpn_select_callback,
            before,
            "pyOpenSSL moved what Context.set_alpn_select_callback guards",
        )


class WebTests(SynchronousTestCase):
    def test_wrongBodyLength(self) -> None:
        self.assertIs(wrongBodyLength(), _newclient.WrongBodyLength, "Twisted moved _newclient.WrongBodyLength")

    def test_rawHeaders(self) -> None:
        """
        They are as if made in the public way.
        """
        headers = rawHeaders(Headers(), {b"Set-Cookie": [b"a=1", b"b=2"], b"ETag": [b"x"]})
        made = Headers({"ETag": ["x"], "set-cookie": ["a=1", "b=2"]})
        self.assertEqual(headers, made, "Twisted moved Headers._rawHeaders")
        self.assertEqual(headers.getRawHeaders("SET-COOKIE"), ["a=1", "b=2"])


class BaseClassTests(SynchronousTestCase):
    """
    The names that our subclasses use of their base classes', beside them.
    """

    def test_deferreds(self) -> None:
        deferred: Deferred[None] = Deferred(lambda _: None)
        for name in ("_callbacks", "_canceller", "_debugInfo", "_runCallbacks", "debug", "paused", "called"):
            self.assertTrue(hasattr(deferred, name), f"Twisted moved Deferred.{name}: see net/tasks/awaited.py")
        self.assertTrue(
            hasattr(DebugInfo, "failResult"), "Twisted moved DebugInfo.failResult: see net/tasks/awaited.py"
        )
        self.assertEqual(deferred._callbacks, [])

    def test_transports(self) -> None:
        descriptor = FileDescriptor(reactor=MemoryReactorClock())
        for name in ("_tempDataBuffer", "_tempDataLen", "dataBuffer", "offset"):
            self.assertTrue(
                hasattr(descriptor, name), f"Twisted moved FileDescriptor.{name}: see reactor/transports.py"
            )
        for kind in (tcp.Server, unix.Server):
            self.assertTrue(hasattr(kind, "_fromConnectedSocket"), f"Twisted moved {kind}._fromConnectedSocket")
        for kind in (tcp.Port, unix.Port):
            self.assertTrue(hasattr(kind, "_fromListeningDescriptor"), f"Twisted moved {kind}._fromListeningDescriptor")

    def test_asyncio(self) -> None:
        loop = new_event_loop()
        reactor = AsyncioSelectorReactor(loop)
        try:
            for name in (
                *("_asyncioEventloop", "_disconnectSelectable", "_log", "_readers", "_supportedAddressFamilies"),
                *("_unregisterFDInAsyncio", "_writers"),
            ):
                self.assertTrue(hasattr(reactor, name), f"Twisted moved {name}: see reactor/asyncio.py")
            self.assertTrue(hasattr(posixbase, "_NO_FILEDESC"), "Twisted moved posixbase._NO_FILEDESC")
        finally:
            for reader in reactor.removeAll():
                reader.connectionLost(None)
            loop.close()

    def test_epoll(self) -> None:
        reactor = EPollReactor()
        try:
            for name in (
                *("_disconnectSelectable", "_doReadOrWrite", "_poller", "_reads", "_writes", "_selectables"),
                "_supportedAddressFamilies",
            ):
                self.assertTrue(hasattr(reactor, name), f"Twisted moved EPollReactor.{name}: see reactor/epoll.py")
        finally:
            for reader in reactor.removeAll():
                reader.connectionLost(None)
            reactor._poller.close()


class OneModuleTests(SynchronousTestCase):
    def test_nobodyElseUsesPrivateNames(self) -> None:
        """
        Names with an underscore that nothing of ours has are somebody else's.
        """
        paths = sorted(ROOT.glob("**/*.py"))
        # Modules' and packages' names are names too.
        modules = (*paths, *ROOT.glob("_speed/*.pyx"))
        ours = set().union(*map(ownNames, paths), *({path.stem, path.parent.name} for path in modules))
        # asyncio's protocol for those who drive coroutines; a method of named tuples, which is no field
        # of theirs; a call of the system's; and what each module of WASI is begun with.
        ours |= {"_asyncio_future_blocking", "_asdict", "_exit", "_initialize"}
        for path in paths:
            found = privateNames(path) - ours
            inside = path.relative_to(ROOT)
            if inside.parts[0] in ("_privates.py", "reactor"):
                continue
            if inside == Path("net", "tasks", "awaited.py"):
                found -= {"_debugInfo", "_runCallbacks"}
            if inside == Path("command", "parsers", "frame.py"):
                # A type of argparse's that has no public name; and what shtab's constants hold, which is not imported.
                found -= {"_SubParsersAction", "_shtab_compgen_files", "_shtab_compgen_dirs"}
            if inside == Path("javascript", "wasm.py"):
                # wasmtime's: tests/javascript/test_wasm.py.
                found -= {"_context", "_ffi", "_from_ptr", "_func"}
            self.assertEqual(found, set(), path)


class SharedPortTests(SynchronousTestCase):
    """
    Listening sockets that several processes have.
    """

    def test_leaveShared(self) -> None:
        """
        Twisted shuts down a socket that it has not adopted, and this keeps it from that.
        """
        self.assertIs(tcp.Port._shouldShutdown, True)
        port = tcp.Port(0, Factory(), reactor=MemoryReactorClock())
        leaveShared(port)
        self.assertIs(port._shouldShutdown, False)

    def test_adoptUnixPort(self) -> None:
        self.assertTrue(hasattr(unix.Port, "_logConnectionLostMsg"), "Twisted moved Port._logConnectionLostMsg")

    def test_theFileOfAnAdoptedUnixPort(self) -> None:
        """
        The file is neither removed nor opened to others, and the socket listens on.
        """
        path = temporaryDirectory(self) / "socket"
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
            listening.bind(str(path))
            listening.listen()
            path.chmod(0o600)
            reactor = EPollReactor()
            self.addCleanup(reactor._poller.close)
            port = adoptUnixPort(None, reactor, listening.fileno(), Factory(), 7)
            self.assertEqual(port.getHost().name, str(path).encode())
            with capturedLogs() as events:
                port.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(formatEvent(events[0]), f"(UNIX Port {path} Closed)")
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            client.connect(str(path))
            listening.accept()[0].close()

    def test_adoptUnixPortElsewhere(self) -> None:
        class Moved:
            @classmethod
            def _fromListeningDescriptor(cls, *_: object) -> Moved:
                return cls()

        self.assertRaises(NotSupported, adoptUnixPort, Moved, None, 0, Factory(), 7)

    def test_pollerOf(self) -> None:
        """
        What waits is an epoll, and the listening socket is registered with it.
        """
        epoll = EPollReactor()
        self.addCleanup(epoll._poller.close)
        self.assertIs(pollerOf(epoll), epoll._poller)
        loop = new_event_loop()
        self.addCleanup(loop.close)
        reactor = AsyncioSelectorReactor(loop)
        poller = pollerOf(reactor)
        with socket.socket() as other:
            loop.add_reader(other, int)
            poller.unregister(other.fileno())
            poller.register(other.fileno())
            loop.remove_reader(other)
        self.assertIsNone(pollerOf(Clock()))
