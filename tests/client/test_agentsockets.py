"""
The Agent over real sockets: twisted.web's server, TLS by policies of twisted.web's, and treq.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from treq.client import HTTPClient
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseNeverReceived, readBody
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.certificates import Authority
from tests.client.servers import pause, timed
from tests.client.support import OK
from wasinet_twisted.client import Agent, ClientLimits, Pool
from wasinet_twisted.errors import CertificateError, UnknownCertificateAuthority
from wasinet_twisted.net import TlsServer

reactor: Any = _reactor

LARGE = bytes(range(256)) * 8000


class Answers(Resource):
    """
    What the tests ask for.
    """

    isLeaf = True

    def render(self, request: Any) -> Any:
        path = request.path.decode("ascii")
        if path == "/large":
            return LARGE
        if path == "/gzip":
            request.setHeader("Content-Encoding", "gzip")
            return gzip.compress(LARGE)
        if path == "/cookie":
            request.addCookie("a", "1")
            request.redirect(b"/echo")
            return b""
        if path == "/never":
            return NOT_DONE_YET
        fields = {name.decode(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()}
        host = request.getClientAddress().host
        told = {
            "client": host,
            "method": request.method.decode(),
            "fields": fields,
            "body": request.content.read().decode("latin-1"),
        }
        return json.dumps(told).encode()


@asynccontextmanager
async def serving(tls: TlsServer | None = None) -> AsyncIterator[str]:
    """
    A server.

    @return: its URL.
    """
    site: Any = Site(Answers())
    site.noisy = False
    if tls is None:
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
    else:
        port = reactor.listenSSL(0, site, tls, interface="127.0.0.1")
    scheme, number = "http" if tls is None else "https", port.getHost().port
    try:
        yield f"{scheme}://localhost:{number}"
    finally:
        await port.stopListening()


@timed
async def test_aPool() -> None:
    async with serving() as url, Pool() as pool:
        agent = Agent(reactor, pool=pool)
        for _ in range(3):
            response = await agent.request(b"GET", f"{url}/large".encode())
            assert await readBody(response) == LARGE
        assert "1 connections, 1 free" in repr(pool)


@timed
async def test_noPool() -> None:
    """
    Nothing is left when the body has been read.
    """
    async with serving() as url:
        response = await Agent(reactor).request(b"GET", f"{url}/large".encode())
        assert await readBody(response) == LARGE


@timed
async def test_theirPool() -> None:
    async with serving() as url:
        pool = HTTPConnectionPool(reactor)
        for _ in range(3):
            response = await Agent(reactor, pool=pool).request(b"GET", f"{url}/".encode())
            await readBody(response)
        ours = Agent(reactor, pool=pool).pool
        assert "1 connections, 1 free" in repr(ours)
        await pool.closeCachedConnections()
        assert "0 connections" in repr(ours)


@timed
async def test_aPolicy(tmp_path: Path) -> None:
    """
    Who is trusted is the policy's to say.
    """
    authority = Authority(tmp_path)
    trusted = BrowserLikePolicyForHTTPS(trustRootFromCertificates([Certificate.loadPEM(authority.pem)]))  # type: ignore[no-untyped-call]
    async with serving(TlsServer(str(authority.issue("localhost")))) as url, Pool() as pool:
        uri = f"{url}/large".encode()
        for _ in range(2):
            response = await Agent(reactor, trusted, pool=pool).request(b"GET", uri)
            assert await readBody(response) == LARGE
        assert "1 connections, 1 free" in repr(pool)
        # Others don't trust it, whoever has connected before.
        for other in (BrowserLikePolicyForHTTPS(), None):
            with pytest.raises(ResponseNeverReceived) as caught:
                await Agent(reactor, other, pool=pool).request(b"GET", uri)
            last = caught.value.reasons[-1].value
            if other is None:
                assert isinstance(last, UnknownCertificateAuthority)


@timed
async def test_anotherName(tmp_path: Path) -> None:
    """
    A policy verifies the name, and so do we without one.
    """
    authority = Authority(tmp_path)
    trusted = BrowserLikePolicyForHTTPS(trustRootFromCertificates([Certificate.loadPEM(authority.pem)]))  # type: ignore[no-untyped-call]
    async with (
        serving(TlsServer(str(authority.issue("other.test")))) as url,
        Pool(caCertificates=str(authority.path)) as pool,
    ):
        for policy in (trusted, None):
            with pytest.raises(ResponseNeverReceived) as caught:
                await Agent(reactor, policy, pool=pool).request(b"GET", url.encode())
            if policy is None:
                assert isinstance(caught.value.reasons[-1].value, CertificateError)


@timed
async def test_bindAddress() -> None:
    async with serving() as url, Pool() as pool:
        for given in ("127.0.0.2", ("127.0.0.2", 0), b"127.0.0.2"):
            response = await Agent(reactor, None, None, given, pool).request(
                b"GET", url.replace("localhost", "127.0.0.1").encode()
            )
            assert json.loads(await readBody(response))["client"] == "127.0.0.2"


@timed
async def test_aServerThatSaysNoGoodbye(tmp_path: Path) -> None:
    """
    Over TLS, a connection that isn't kept ends without the server's close_notify.
    """

    served: list[Any] = []

    class Silent(Protocol):
        def dataReceived(self, data: bytes) -> None:
            transport: Any = self.transport
            served.append(transport)
            transport.write(OK)
            transport.pauseProducing()

    authority = Authority(tmp_path)
    factory: Any = Factory.forProtocol(Silent)
    factory.noisy = False
    port = reactor.listenSSL(0, factory, TlsServer(str(authority.issue("localhost"))), interface="127.0.0.1")
    pool = Pool(limits=ClientLimits(idle=0), caCertificates=str(authority.path))
    url = f"https://localhost:{port.getHost().port}/"
    assert await readBody(await Agent(reactor, pool=pool).request(b"GET", url.encode())) == b"ok"
    await pause(0.2)
    assert not pool._all
    assert not [call for call in reactor.getDelayedCalls() if "closeExpired" in repr(call)]
    await pool.close()
    served[0].abortConnection()
    await port.stopListening()
    await pause(0)


@timed
async def test_treq() -> None:
    """
    Forms, JSON, cookies, redirects, content codings, timeouts: all that treq adds.
    """
    async with serving() as url, Pool() as pool:
        client: Any = HTTPClient(Agent(reactor, pool=pool))
        response = await client.post(f"{url}/", data={"a": "b"})
        told = await response.json()
        assert told["body"] == "a=b"
        assert told["fields"]["Content-Type"] == "application/x-www-form-urlencoded"
        told = await (await client.put(f"{url}/", json={"a": 1}, auth=("user", "password"))).json()
        assert told["body"] == '{"a":1}'
        assert told["fields"]["Authorization"] == "Basic dXNlcjpwYXNzd29yZA=="
        response = await client.get(f"{url}/cookie")
        assert [each.code for each in response.history()] == [302]
        assert (await response.json())["fields"]["Cookie"] == "a=1"
        assert await (await client.get(f"{url}/gzip")).content() == LARGE
        pieces: list[bytes] = []
        response = await client.get(f"{url}/large", unbuffered=True)
        await response.collect(pieces.append)
        assert b"".join(pieces) == LARGE
        assert await (await client.head(f"{url}/large")).content() == b""
        assert "1 connections, 1 free" in repr(pool)
        with pytest.raises(ResponseNeverReceived):
            await client.get(f"{url}/never", timeout=0.1)


@timed
async def test_aFile() -> None:
    async with serving() as url, Pool() as pool:
        client: Any = HTTPClient(Agent(reactor, pool=pool))
        path = Path(__file__)
        with path.open("rb") as file:
            told = await (await client.post(f"{url}/", data=file)).json()
        assert told["body"].encode("latin-1") == path.read_bytes()
        with path.open("rb") as file:
            told = await (await client.post(f"{url}/", files={"file": file})).json()
        assert told["fields"]["Content-Type"].startswith("multipart/form-data; boundary=")
        assert path.read_bytes() in told["body"].encode("latin-1")
