"""
What the package shows, and what its rooms know of one another.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from twisted.application.service import IService, IServiceMaker
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory, IPushProducer
from twisted.internet.task import Clock
from twisted.plugin import IPlugin, getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

import wasinet_twisted
from wasinet_twisted import net
from wasinet_twisted.net.stream.protocol import ConnectionProtocol
from wasinet_twisted.service.command import AccessLogService, CommandService, HttpService
from wasinet_twisted.service.echo import EchoService
from wasinet_twisted.service.http import HttpAppService
from wasinet_twisted.service.javascript import ProgramService
from wasinet_twisted.service.listening import ListeningService
from wasinet_twisted.service.reloading import Reported, Supervisor

from .imports import Graph, attributes, circles, imports, moduleGraph, packageOf

pytestmark = pytest.mark.reactorless

ROOT = Path(wasinet_twisted.__file__).parent
CHECKOUT = Path(__file__).parent.parent

SURFACE = {
    "wasinet_twisted": {"__version__", "fetch", "http", "net", "serve", "speed"},
    "wasinet_twisted.http": {
        "REASONS",
        "Buffer",
        "ClientConnection",
        "ContentError",
        "Data",
        "EndOfMessage",
        "Event",
        "IncompleteRead",
        "LimitExceeded",
        "Limits",
        "LocalProtocolError",
        "MessageTooLarge",
        "ProtocolError",
        "RemoteProtocolError",
        "RequestHead",
        "ResponseHead",
        "ServerConnection",
        "WasiRequest",
        "WasiResponse",
        "encodeChunk",
        "encodeEnd",
    },
    "wasinet_twisted.net": {
        "BusyError",
        "CertificateError",
        "CertificateExpired",
        "CertificateNameMismatch",
        "ConnectFailed",
        "ConnectionClosed",
        "ConnectionFactory",
        "ConnectionRefused",
        "HandshakeFailed",
        "IConnection",
        "IncompleteRead",
        "InvalidArgument",
        "LimitExceeded",
        "ListenFailed",
        "NotSupported",
        "TimedOut",
        "UnknownHost",
        "TlsClient",
        "TlsInfo",
        "TlsServer",
        "UnknownCertificateAuthority",
        "UnreadPlaintext",
        "WasiTcpConn",
        "WasiTcpServer",
        "WasiTlsConn",
        "connect",
        "formatAddress",
        "nsloopup",
    },
    "wasinet_twisted.server": {
        "AccessLog",
        "HttpServer",
        "Readiness",
        "Request",
        "ServerLimits",
        "Statistics",
        "StatusApp",
        "files",
        "isWebSocket",
        "serve",
    },
    "wasinet_twisted.client": {
        "Agent",
        "ClientLimits",
        "DecodingLimits",
        "Pool",
        "Proxy",
        "ProxyFailed",
        "Report",
        "Response",
        "Timeouts",
        "Timings",
        "TooManyRedirects",
        "WebSocketRefused",
        "fetch",
        "webSocket",
    },
    "wasinet_twisted.websocket": {
        "InvalidHandshake",
        "WebSocket",
        "WebSocketClosed",
        "WebSocketLimits",
        "WebSocketRefused",
    },
    "wasinet_twisted.asgi": {"AsgiApp", "StartupFailed"},
    "wasinet_twisted.reactor": {"EPollReactor", "install"},
    "wasinet_twisted.javascript": {"GuestLimits", "Program", "Settings"},
    "wasinet_twisted.testing": {
        "Direction",
        "Link",
        "MemoryListener",
        "MemoryOrigin",
        "Pair",
        "advance",
        "pair",
        "run",
        "settle",
    },
}

# Which rooms and which packages each room may import, beside itself and the standard library.
ALLOWED = {
    "errors": set(),
    "_fast": {"_speed"},
    "_privates": {"errors", "twisted", "OpenSSL"},
    # Its compiled modules import what they are twins of.
    "_speed": set(),
    "http": {"_fast", "_speed", "errors", "multidict"},
    # The last four are imported when TLS is used, and only then.
    "net": {
        "_fast",
        "_privates",
        "_speed",
        "errors",
        "twisted",
        "zope",
        "OpenSSL",
        "cryptography",
        "idna",
        "service_identity",
    },
    # websockets is imported when the first handshake is made.
    "websocket": {"_fast", "errors", "net", "twisted", "websockets"},
    # The status page shows the version; prometheus_client is imported when somebody scrapes.
    "server": {
        "__version__",
        "_fast",
        "_privates",
        "_speed",
        "errors",
        "http",
        "net",
        "websocket",
        "twisted",
        "zope",
        "multidict",
        "prometheus_client",
    },
    # The last five are imported when a body, a URL or a SOCKS5 proxy needs them; compression is Python 3.14's.
    "client": {
        "__version__",
        "_fast",
        "_privates",
        "_speed",
        "errors",
        "http",
        "net",
        "websocket",
        "twisted",
        "multidict",
        "zope",
        "backports",
        "brotli",
        "compression",
        "socksio",
        "yarl",
    },
    # cryptography shows a client's certificate, if there is one.
    "asgi": {"errors", "http", "net", "server", "websocket", "twisted", "cryptography"},
    # It is imported by Django projects only.
    "contrib": {"__version__", "asgi", "django", "errors", "reactor", "server", "twisted"},
    "reactor": {"_fast", "_privates", "_speed", "errors", "twisted"},
    # The last two are imported when the first program is started.
    "javascript": {"client", "errors", "http", "net", "server", "twisted", "cffi", "wasmtime"},
    "service": {
        "__version__",
        "_privates",
        "_speed",
        "asgi",
        "attrs",
        "errors",
        "http",
        "javascript",
        "net",
        "reactor",
        "server",
        "twisted",
        "zope",
    },
    "testing": {"_privates", "client", "errors", "net", "server", "twisted", "websocket", "zope"},
    # rich and shtab are imported when they are needed, and only then.
    "command": {
        "client",
        "errors",
        "http",
        "javascript",
        "net",
        "reactor",
        "rich",
        "server",
        "service",
        "shtab",
        "twisted",
        "zope",
    },
    "__main__": {"command"},
}

# The bounds on a module's lines, and on what a class's instances hold.
LINES = 400
SLOTS = 25


def rooms(path: Path, package: str) -> set[str]:
    """
    What a file imports, as L{ALLOWED} names it: our rooms, and foreign packages.
    """
    found = set()
    for module, taken in imports(path, package):
        # "from .. import http" imports a module, too.
        name = f"{module}.{taken}" if module == "wasinet_twisted" else module
        first, *rest = name.split(".")
        if first == "wasinet_twisted":
            found.add(rest[0] if rest else first)
        elif first not in sys.stdlib_module_names:
            found.add(first)
    return found


class SurfaceTests(SynchronousTestCase):
    def test_all(self) -> None:
        """
        The public names change on purpose only, and each of them exists.
        """
        for name, expected in SURFACE.items():
            module = import_module(name)
            self.assertEqual(set(module.__all__), expected, name)
            self.assertEqual(len(module.__all__), len(expected), name)
            for public in expected:
                self.assertTrue(hasattr(module, public), f"{name}.{public}")

    def test_publicNamesAreInAll(self) -> None:
        """
        Nothing else looks as if it were public, but for the modules that hold it.
        """
        for name, expected in SURFACE.items():
            module = import_module(name)
            extra = {
                public
                for public, value in vars(module).items()
                if not public.startswith("_") and public not in expected and type(value) is not type(module)
            }
            # The façade's lazy loading needs these two.
            self.assertEqual(extra - {"Any", "TYPE_CHECKING", "import_module"}, set(), name)

    def test_facade(self) -> None:
        self.assertEqual(set(dir(wasinet_twisted)), SURFACE["wasinet_twisted"])
        error = self.assertRaises(AttributeError, getattr, wasinet_twisted, "nonsense")
        self.assertIn("nonsense", str(error))

    def test_version(self) -> None:
        self.assertEqual(version("wasinet_twisted"), wasinet_twisted.__version__)

    def test_theParserLoadsNoTwisted(self) -> None:
        """
        Nor do the façade and a request parsed by way of it.
        """
        code = (
            "import sys, wasinet_twisted\n"
            "buffer = wasinet_twisted.http.Buffer()\n"
            "buffer.append(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
            "assert buffer.parseRequest().uri == '/'\n"
            "print([name for name in sys.modules if name.startswith(('twisted', 'zope'))])\n"
        )
        # From elsewhere, so that what is installed is found.
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, cwd="/")
        self.assertEqual((answer.stdout, answer.stderr), ("[]\n", ""))


class RoomTests(SynchronousTestCase):
    def test_whoImportsWhom(self) -> None:
        for room, allowed in ALLOWED.items():
            paths = sorted((ROOT / room).glob("**/*.py")) or [ROOT / f"{room}.py"]
            for path in paths:
                self.assertEqual(rooms(path, packageOf(path, ROOT)) - allowed - {room}, set(), path)

    def test_eachRoomIsListed(self) -> None:
        found = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
        found |= {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
        self.assertEqual(found, set(ALLOWED))

    def test_theFacade(self) -> None:
        # For type checkers only; else it is loaded when it is asked for, as the rooms are.
        self.assertEqual(rooms(ROOT / "__init__.py", "wasinet_twisted"), {"_speed", "client", "server"})

    def test_thePluginFile(self) -> None:
        """
        twistd loads it for every command of every package: it has to be quick, and nothing of ours may break it.
        """
        path = CHECKOUT / "tap" / "wasinet_plugins.py"
        modules = [module for module, _ in imports(path, "")]
        self.assertEqual(modules, ["twisted.application.reactors", "twisted.application.service"])


class StructureTests(SynchronousTestCase):
    """
    Inside a room no module imports itself by way of others, whether when it is loaded, inside a function or for type
    checkers only. Modules and classes keep to one concern, as far as their sizes tell.
    """

    def test_noCircles(self) -> None:
        for room in sorted(ALLOWED):
            if (ROOT / room).is_dir():
                self.assertEqual(circles(moduleGraph(ROOT, ROOT / room)), [], room)

    def test_theParserStandsAlone(self) -> None:
        for path in (ROOT / "http").glob("**/*.py"):
            self.assertEqual(rooms(path, packageOf(path, ROOT)) & {"twisted", "zope", "net", "server"}, set(), path)

    def test_modulesAreShort(self) -> None:
        for path in (each for kind in ("py", "pyx", "pxd", "h") for each in ROOT.glob(f"**/*.{kind}")):
            lines = len(path.read_text().splitlines())
            self.assertLessEqual(lines, LINES, f"{path} has {lines} lines, the bound is {LINES}")

    def test_classesAreSmall(self) -> None:
        """
        What a class inherits of ours counts, what it inherits of Twisted's doesn't.
        """
        own = {}
        for path in ROOT.glob("**/*.py"):
            package = packageOf(path, ROOT)
            module = package if path.stem == "__init__" else f"{package}.{path.stem}"
            own.update({(module, name): held for name, held in attributes(path).items()})
        for module, name in own:
            kind = getattr(import_module(module), name)
            if not isinstance(kind, type):
                # zope's interfaces have no instances.
                continue
            held = set().union(*(own.get((each.__module__, each.__name__), set()) for each in kind.__mro__))
            self.assertLessEqual(len(held), SLOTS, f"{module}.{name} has {len(held)}: {sorted(held)}")


class ImportsTests(SynchronousTestCase):
    """
    What finds circles and counts attributes can tell a good package from a bad one.
    """

    def graph(self, **modules: str) -> Graph:
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name) / "made"
        self.root.mkdir()
        for name, source in modules.items():
            path = self.root / f"{name.replace('_', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)
        return moduleGraph(self.root)

    def test_noCircle(self) -> None:
        graph = self.graph(
            a="from . import b\nfrom .b import name\nfrom .sub import c", b="import sys", sub_c="from ..b import x"
        )
        self.assertEqual(graph, {"made.a": {"made.b", "made.sub.c"}, "made.b": set(), "made.sub.c": {"made.b"}})
        self.assertEqual(circles(graph), [])

    def test_circle(self) -> None:
        """
        Wherever the import stands, and however long the way around.
        """
        graph = self.graph(
            a="from .b import x",
            b="def f():\n    import made.c",
            c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import a",
            d="from . import a",
        )
        self.assertEqual(circles(graph), [["made.a", "made.b", "made.c"]])

    def test_attributes(self) -> None:
        self.graph(
            a="class A:\n    __slots__ = ('x', 'y')\n"
            "    def f(self, other):\n        self.y = self.z = 1\n        other.v = self.w\n"
        )
        self.assertEqual(attributes(self.root / "a.py"), {"A": {"x", "y", "z"}})


class InterfaceTests(SynchronousTestCase):
    def test_connections(self) -> None:
        self.assertTrue(verifyClass(net.IConnection, net.WasiTcpConn))

    def test_protocol(self) -> None:
        protocol = ConnectionProtocol(Clock())
        for interface in (IProtocol, IHalfCloseableProtocol, IPushProducer):
            self.assertTrue(verifyClass(interface, ConnectionProtocol))
            self.assertTrue(verifyObject(interface, protocol))

    def test_factory(self) -> None:
        async def handler(conn: net.WasiTcpConn) -> None:
            """
            Never called.
            """

        self.assertTrue(verifyObject(IProtocolFactory, net.ConnectionFactory(handler, reactor=Clock())))

    def test_services(self) -> None:
        for service in (
            AccessLogService,
            CommandService,
            EchoService,
            HttpAppService,
            HttpService,
            ListeningService,
            ProgramService,
            Reported,
            Supervisor,
        ):
            self.assertTrue(verifyClass(IService, service))

    def test_plugins(self) -> None:
        """
        The installed file is found, and what it names exists.
        """
        found = {maker.tapname for maker in getPlugins(IServiceMaker) if maker.tapname.startswith("wasinet-")}
        self.assertEqual(found, {"wasinet-echo", "wasinet-http", "wasinet-asgi", "wasinet-js"})
        (maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "wasinet-echo"]
        self.assertTrue(verifyObject(IServiceMaker, maker))
        self.assertTrue(verifyObject(IPlugin, maker))
        options = maker.options()
        options.parseOptions(["--tcp=tcp:0"])
        self.assertTrue(verifyObject(IService, maker.makeService(options)))
