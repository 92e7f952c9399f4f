"""
All that leans on names which Twisted and pyOpenSSL keep to themselves.

Each function says which name it uses, and why there is no public way. When a new version moves a name,
C{tests/test_privates.py} says which, and this module is what has to change. Until then nothing fails open: a function
whose absence would be a danger raises L{NotSupported}.

Two kinds of private names stand elsewhere, because a subclass can't do without its base class's: those of Twisted's
transports and its epoll reactor in the room C{reactor}, and those of C{Deferred} in C{net/tasks/awaited.py}. The same
tests look for them.

Every room but C{http} may import this module.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from inspect import signature
from os import fsdecode
from typing import TYPE_CHECKING, Any

from twisted.internet import endpoints
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger

from .errors import NotSupported

if TYPE_CHECKING:
    from OpenSSL.SSL import Connection, Context
    from twisted.web.http_headers import Headers

log = Logger()


def unsentBytes(transport: Any) -> int | None:
    """
    Return how many bytes a transport of Twisted's holds that the kernel hasn't taken, or None if it doesn't tell.

    C{abstract.FileDescriptor._tempDataLen}, and C{dataBuffer} and C{offset}, which aren't documented either. A producer
    learns only that the transport has more than it likes, not how much.
    """
    try:
        waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return waiting
    except AttributeError:
        return None


def sendDirectly(transport: Any, data: bytes) -> bool:
    """
    Send C{data} at once, if nothing waits to be sent before it.

    C{abstract.FileDescriptor._tempDataLen}, and C{dataBuffer} and C{TLS}, which aren't documented. No public name tells
    that nothing waits, or sends at once. It stands here as a whole: it is called for each answer.

    @param transport: one of those that L{sendsDirectly<wasinet_twisted.server.direct.sendsDirectly>} knows.
    @return: has it been sent, or the rest of it been queued? Else nothing has happened.
    """
    if (
        transport.dataBuffer
        or transport._tempDataLen
        or transport.disconnecting
        or not transport.connected
        # It may have gone over to TLS by itself, and is of the same class still.
        or transport.TLS
    ):
        return False
    try:
        sent = transport.socket.send(data)
    except OSError:
        # The transport will meet it again, and knows what to do.
        return False
    if sent < len(data):
        transport.write(data[sent:])
    return True


def plaintextBytes(tls: Any) -> int:
    """
    Return how many bytes wait in Twisted's TLS to be enciphered; 0 if it doesn't tell.

    C{tls.TLSMemoryBIOProtocol._appSendBuffer}, for what OpenSSL can't take now, and
    C{tls.BufferingTLSTransport._aggregator} with its C{_buffer}, for the small writes of this turn of the reactor. No
    producer learns how much that is. OpenSSL's own queue is emptied into the transport after each record.
    """
    joined = getattr(getattr(tls, "_aggregator", None), "_buffer", ())
    return sum(map(len, joined)) + sum(map(len, getattr(tls, "_appSendBuffer", ())))


# Endpoints


def proxiedEndpoint(endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint | None:
    """
    Return the endpoint beneath one of Twisted's that take PROXY headers, or None if C{endpoint} isn't one of these.

    C{endpoints._WrapperServerEndpoint._wrapperFactory} and C{_wrappedEndpoint}. A C{haproxy:} endpoint tells nobody
    what it is; and ours, with a deadline and strict parsing, has to take its place.

    @raise NotSupported: C{endpoint} wraps another one, and there is no telling with what. It may take PROXY headers,
        and would do so without a deadline.
    """
    # The module would be loaded by every program, and few have a balancer before them.
    from twisted.protocols.haproxy import proxyEndpoint

    example = proxyEndpoint(endpoint)
    if not isinstance(endpoint, type(example)):
        return None
    try:
        if endpoint._wrapperFactory is not example._wrapperFactory:
            return None
        inner: IStreamServerEndpoint = endpoint._wrappedEndpoint
    except AttributeError as error:
        raise NotSupported(
            f"{endpoint!r} may take PROXY headers, and this version of Twisted doesn't show it ({error}); "
            "listen on the endpoint without haproxy: and let the balancer send no PROXY header"
        ) from None
    return inner


def portOf(endpoint: IStreamServerEndpoint) -> int | None:
    """
    Return the port of a TCP endpoint of Twisted's, or None for others and where it can't be seen.

    C{endpoints.TCP4ServerEndpoint._port}. It is looked at to refuse a wrong port before anything listens; otherwise the
    system refuses it later.
    """
    port = getattr(endpoint, "_port", None)
    return port if type(port) is int else None


def interfaceOf(endpoint: IStreamServerEndpoint) -> str | None:
    """
    Return the address that an endpoint of Twisted's listens on; "" and "::" are all there are. None means that it
    listens on a Unix socket or on a socket that somebody else has bound.

    C{endpoints.TCP4ServerEndpoint._interface}. What an endpoint string says of the interface can't be read from the
    string without Twisted's own parser, as it may stand there without its name.

    @raise NotSupported: there is no telling. It may be reached from everywhere.
    """
    if isinstance(endpoint, UNIXServerEndpoint | AdoptedStreamServerEndpoint):
        return None
    interface = getattr(endpoint, "_interface", None)
    if not isinstance(endpoint, TCP4ServerEndpoint | TCP6ServerEndpoint | SSL4ServerEndpoint) or interface is None:
        raise NotSupported(
            f"{type(endpoint).__name__} doesn't say on which interface it listens; "
            "name one with :interface=, or use a tcp:, tcp6:, ssl:, unix: or systemd: endpoint"
        )
    return str(interface)


def endpointArguments(text: str) -> tuple[list[str], dict[str, str]]:
    """
    Return the arguments of an endpoint string, those with a name apart.

    C{endpoints._parse}. Whether a string says something, such as a socket's mode, can't be read from the string without
    Twisted's own parser, which knows what is escaped.

    @raise NotSupported: this version of Twisted has another parser.
    """
    try:
        parse: Callable[[str], tuple[list[str], dict[str, str]]] = endpoints._parse
    except AttributeError as error:
        raise NotSupported(f"{text!r} can't be read with this version of Twisted: {error}") from None
    return parse(text)


def sslArguments(text: str) -> dict[str, Any]:
    """
    Return the arguments of an C{ssl:} endpoint string by the names that Twisted's parser has for them.

    C{endpoints._parse} and C{endpoints._parseSSL}. The files that the string names are read again when certificates are
    renewed, and the endpoint that Twisted makes of the string doesn't tell their names.

    @param text: the string; C{haproxy:} may stand before C{ssl:}.
    @raise NotSupported: this version of Twisted has other parsers.
    """
    try:
        parameters = signature(endpoints._parseSSL)
    except AttributeError as error:
        raise NotSupported(
            f"{text!r}: its certificates can't be renewed with this version of Twisted: {error}"
        ) from None
    arguments, named = endpointArguments(text)
    bound = parameters.bind(None, *arguments[arguments.index("ssl") + 1 :], **named)
    bound.apply_defaults()
    return bound.arguments


def setContextFactory(endpoint: SSL4ServerEndpoint, contextFactory: object) -> None:
    """
    Let an endpoint that doesn't listen yet use C{contextFactory}.

    C{endpoints.SSL4ServerEndpoint._sslContextFactory}. An endpoint made of a string makes its own, which can't be
    renewed.

    @raise NotSupported: this version of Twisted keeps it elsewhere; what would be set here would not be used.
    """
    if not hasattr(endpoint, "_sslContextFactory"):
        raise NotSupported(
            f"the certificates of {type(endpoint).__name__} can't be renewed with this version of Twisted: "
            "it has no _sslContextFactory"
        )
    endpoint._sslContextFactory = contextFactory


# Listening sockets that several processes share


def leaveShared(port: Any) -> None:
    """
    Let a listening port close its socket, at its end, without shutting it down for the other processes that have it.

    C{tcp.Port._shouldShutdown}. Twisted shuts down what it hasn't adopted, and thereby all of the socket's listeners.
    """
    port._shouldShutdown = False


def pollerOf(reactor: Any) -> Any:
    """
    Return the C{select.epoll} that a reactor waits with, or None if it has another way.

    C{epollreactor.EPollReactor._poller}; of the asyncio reactor, C{_asyncioEventloop}, and of asyncio's loop
    C{_selector}, and of that C{_selector}. No reactor lets its events be chosen.
    """
    poller = getattr(reactor, "_poller", None)
    if poller is None:
        selector = getattr(getattr(reactor, "_asyncioEventloop", None), "_selector", None)
        poller = getattr(selector, "_selector", None)
    return poller if isinstance(poller, getattr(select, "epoll", ())) else None


def adoptUnixPort(kind: type[Any] | None, reactor: Any, descriptor: int, factory: Any, backlog: int) -> Any:
    """
    Listen on a Unix socket that another process has opened, and leave its file alone.

    C{unix.Port._fromListeningDescriptor}, C{_logConnectionLostMsg} and C{_bindPath}, before 26.10 C{port}. The public
    C{adoptStreamPort} sets the mode of the socket's file to 666, and removes the file at its end.

    @param kind: the class of C{reactor}'s ports; L{None}: Twisted's own.
    @raise NotSupported: this version of Twisted keeps the path elsewhere.
    """
    from twisted.internet import unix

    listening: Any = (kind or unix.Port)._fromListeningDescriptor(reactor, descriptor, factory)
    names = [name for name in ("_bindPath", "port") if isinstance(getattr(listening, name, None), bytes)]
    if not names:
        raise NotSupported("a Unix socket can't be shared by processes with this version of Twisted: no unix.Port.port")
    # As if it were an abstract one, which has no file. Twisted would log its end with the NUL.
    path = getattr(listening, names[0])
    setattr(listening, names[0], b"\0" + path)
    listening._logConnectionLostMsg = lambda: log.info("(UNIX Port {path} Closed)", path=fsdecode(path))
    listening.backlog = backlog
    leaveShared(listening)
    listening.startListening()
    return listening


# TLS


def certificateOptionsOf(tlsFactory: Any) -> Any:
    """
    Return the C{CertificateOptions} that a C{TLSMemoryBIOFactory} was made with, or None if it wasn't made with these.

    C{tls.TLSMemoryBIOFactory._creatorCallable}, and the closure in which Twisted keeps a bound method of the options.
    Nothing public leads from a connection to them.
    """
    from twisted.internet.ssl import CertificateOptions

    create = getattr(tlsFactory, "_creatorCallable", None)
    for cell in getattr(create, "__closure__", None) or ():
        options = getattr(cell.cell_contents, "__self__", None)
        if isinstance(options, CertificateOptions):
            return options
    return None


def protocolsOf(options: Any) -> Sequence[bytes]:
    """
    Return the application protocols (RFC 7301) that C{CertificateOptions} were made with.

    C{CertificateOptions._acceptableProtocols}. They can be given and not be asked for.
    """
    return tuple(getattr(options, "_acceptableProtocols", None) or ())


def setAlpnSelect(context: Context, select: Callable[[Connection, list[bytes]], Any]) -> None:
    """
    Set who selects the application protocol on a context that has connections already.

    C{__wrapped__} of pyOpenSSL's C{Context.set_alpn_select_callback}. pyOpenSSL guards contexts that are in use, since
    other threads might use them; the reactor's thread is the only one that uses these.
    """
    from OpenSSL import SSL

    unguarded = getattr(SSL.Context.set_alpn_select_callback, "__wrapped__", None)
    # Without it all stays as the context's maker had it.
    if unguarded is not None:
        unguarded(context, select)


# twisted.web


def wrongBodyLength() -> type[Exception]:
    """
    Return the class of the error for a body producer that has written more or less than it had announced.

    C{_newclient.WrongBodyLength}. It is among the reasons of the public C{RequestGenerationFailed}, and C{web.client}
    doesn't have it.
    """
    # Few programs have an Agent.
    from twisted.web import _newclient

    found: type[Exception] = getattr(_newclient, "WrongBodyLength", ValueError)
    return found


def rawHeaders(headers: Headers, fields: dict[bytes, list[bytes]]) -> Headers:
    """
    Let empty C{http_headers.Headers} hold C{fields}, by their names in canonical capitalization, and return them.

    C{Headers._rawHeaders}. The public way looks each name up and looks for line ends in each value, in which there are
    none: that is half the time of an Agent's response.
    """
    if hasattr(headers, "_rawHeaders"):
        headers._rawHeaders = fields
    else:
        for name, values in fields.items():
            headers.setRawHeaders(name, values)
    return headers
