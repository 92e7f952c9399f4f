"""
What the package shows, and what its rooms know of one another.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from twisted.application.service import IService, IServiceMaker
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory, IPushProducer
from twisted.internet.task import Clock
from twisted.plugin import IPlugin, getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

import wasinet_twisted
from wasinet_twisted import net
from wasinet_twisted.net.protocol import ConnectionProtocol
from wasinet_twisted.service.command import AccessLogService, CommandService, HttpService
from wasinet_twisted.service.echo import EchoService
from wasinet_twisted.service.http import HttpAppService
from wasinet_twisted.service.listening import ListeningService
from wasinet_twisted.service.reloading import Reported, Supervisor

pytestmark = pytest.mark.reactorless

ROOT = Path(wasinet_twisted.__file__).parent
CHECKOUT = Path(__file__).parent.parent

SURFACE = {
    "wasinet_twisted": {"__version__", "http", "net", "serve"},
    "wasinet_twisted.http": {
        "REASONS",
        "Buffer",
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
        "Request",
        "ServerLimits",
        "Statistics",
        "StatusApp",
        "serve",
    },
    "wasinet_twisted.reactor": {"EPollReactor", "install"},
    "wasinet_twisted.testing": {"Direction", "Link", "MemoryListener", "Pair", "advance", "pair", "run", "settle"},
}

# Which rooms and which packages each room may import, beside itself and the standard library.
ALLOWED = {
    "errors": set(),
    "http": {"errors", "multidict"},
    # The last four are imported when TLS is used, and only then.
    "net": {"errors", "twisted", "zope", "OpenSSL", "cryptography", "idna", "service_identity"},
    # The status page shows the version; prometheus_client is imported when somebody scrapes.
    "server": {"__version__", "errors", "http", "net", "twisted", "zope", "multidict", "prometheus_client"},
    "reactor": {"twisted"},
    "service": {"__version__", "attrs", "errors", "http", "net", "reactor", "server", "twisted", "zope"},
    "testing": {"errors", "net", "twisted", "zope"},
}


def imports(path: Path, package: str) -> Iterator[str]:
    """
    The modules that a file imports, by their full names.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield node.module or ""
                continue
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
            # "from .. import http" imports modules too.
            yield from [f"{base}.{node.module}"] if node.module else [f"{base}.{alias.name}" for alias in node.names]


def rooms(path: Path, package: str) -> set[str]:
    """
    What a file imports, as L{ALLOWED} names it: our rooms, and foreign packages.
    """
    found = set()
    for name in imports(path, package):
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
                package = ".".join(("wasinet_twisted", *path.relative_to(ROOT).parent.parts))
                self.assertEqual(rooms(path, package) - allowed - {room}, set(), path)

    def test_eachRoomIsListed(self) -> None:
        found = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
        found |= {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
        self.assertEqual(found, set(ALLOWED))

    def test_theFacade(self) -> None:
        # For type checkers only; else it is loaded when it is asked for, as the rooms are.
        self.assertEqual(rooms(ROOT / "__init__.py", "wasinet_twisted"), {"server"})

    def test_thePluginFile(self) -> None:
        """
        twistd loads it for every command of every package: it has to be quick, and nothing of ours may break it.
        """
        path = CHECKOUT / "tap" / "wasinet_plugins.py"
        self.assertEqual(list(imports(path, "")), ["twisted.application.reactors", "twisted.application.service"])


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
            Reported,
            Supervisor,
        ):
            self.assertTrue(verifyClass(IService, service))

    def test_plugins(self) -> None:
        """
        The installed file is found, and what it names exists.
        """
        found = {maker.tapname for maker in getPlugins(IServiceMaker) if maker.tapname.startswith("wasinet-")}
        self.assertEqual(found, {"wasinet-echo", "wasinet-http"})
        (maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "wasinet-echo"]
        self.assertTrue(verifyObject(IServiceMaker, maker))
        self.assertTrue(verifyObject(IPlugin, maker))
        options = maker.options()
        options.parseOptions(["--tcp=tcp:0"])
        self.assertTrue(verifyObject(IService, maker.makeService(options)))
