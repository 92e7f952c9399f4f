"""
Sockets and messages of scripts, on real sockets in this process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater

from tests.processes import PATIENCE, freePort, takenPort
from wasinet_twisted.errors import ConnectionClosed, TimedOut
from wasinet_twisted.javascript import GuestLimits, Program, Settings
from wasinet_twisted.javascript.settings import Network
from wasinet_twisted.net import WasiTcpConn, WasiTcpServer, connect

from .support import needsEngine

pytestmark = needsEngine
reactor: Any = _reactor
LOCAL = "127.0.0.1"


class Running:
    """
    A program on the reactor, whose port 8000 is another one.
    """

    def __init__(self, folder: Path, source: str, **settings: Any) -> None:
        self.port = freePort()
        self.lines: list[str] = []
        self.said: list[str] = []
        script = folder / "main.js"
        script.write_text("import * as net from 'wasi_net'\nimport * as http from 'wasi_http'\n" + source)
        network = settings.pop("network", None) or Network(
            listen={8000: f"tcp:{self.port}:interface={LOCAL}"}, connectTo={"example.org:80": f"{LOCAL}:{self.port}"}
        )
        chosen = Settings(limits=settings.pop("limits", GuestLimits()), network=network, **settings)
        self.program = Program(
            script, chosen, output=lambda text: self.lines.extend(text.splitlines()), complain=self.said.append
        )
        self.done = self.program.run()

    async def until(self, line: str) -> None:
        """
        Wait until it has printed that.
        """
        until = reactor.seconds() + PATIENCE
        while line not in self.lines:
            assert reactor.seconds() < until, (self.lines, self.said)
            await deferLater(reactor, 0.01)

    async def code(self) -> int:
        """
        Wait for its end.
        """
        until = reactor.seconds() + PATIENCE
        while not self.done.called:
            assert reactor.seconds() < until, (self.lines, self.said)
            await deferLater(reactor, 0.01)
        return await self.done

    async def connect(self) -> WasiTcpConn:
        return await connect(LOCAL, self.port)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[Running] = []

    def begin(source: str, **settings: Any) -> Running:
        started.append(Running(tmp_path, source, **settings))
        return started[-1]

    yield begin
    for each in started:
        if not each.done.called:
            each.done.addErrback(lambda _: None)
            each.program.stop()


@pytest_twisted.ensureDeferred
async def test_ends(start: Any) -> None:
    """
    A read gives an empty buffer at the end, every time; addresses are as the original shows them.
    """
    running = start(
        """
        const server = new net.WasiTcpServer(8000)
        const cs = await server.accept()
        print(cs.local() === server.local(), /^127\\.0\\.0\\.1:\\d+$/.test(cs.peer()))
        print(newStringFromUTF8(await cs.read()))
        print((await cs.read()).byteLength, (await cs.read()).byteLength, (await cs.read()).byteLength)
        print(cs.write('bye'), cs.end(), cs.end('!'))
        await cs.close()
        try { cs.write('x') } catch (e) { print(e.message.startsWith('write() of 1 bytes after')) }
        """
    )
    async with await running.connect() as conn:
        await conn.write("hello")
        await conn.finish()
        assert await conn.readToEnd(100) == b"bye!"
    assert await running.code() == 0, running.said
    assert running.lines == ["true true", "hello", "0 0 0", "true true true", "true"]


@pytest_twisted.ensureDeferred
async def test_timeouts(start: Any) -> None:
    """
    They say what the original says, and lose nothing.
    """
    running = start(
        """
        const server = new net.WasiTcpServer(8000)
        await server.accept(1).catch(e => print(e))
        const cs = await server.accept()
        await cs.read(1).catch(e => print(e))
        print('ready')
        print(newStringFromUTF8(await cs.read(5000)))
        for (const ms of [-1, 1.5, NaN, '5', null, Infinity]) await cs.read(ms).catch(e => print(e.name))
        """
    )
    await running.until("Error: timed out")
    async with await running.connect() as conn:
        await running.until("ready")
        await conn.write("late")
        assert await running.code() == 0, running.said
    assert running.lines == ["Error: timed out"] * 2 + ["ready", "late"] + ["TypeError"] * 6


@pytest_twisted.ensureDeferred
async def test_addressInUse(start: Any) -> None:
    with takenPort() as port:
        running = start(
            f"try {{ new net.WasiTcpServer({port}) }} catch (e) {{ print(e) }}"
            "for (const p of [-1, 65536, 1.5, 'x', undefined]) try { new net.WasiTcpServer(p) } catch (e) { print(e) }"
        )
        assert await running.code() == 0, running.said
    assert running.lines[0] == "Error: Address in use"
    assert running.lines[1:] == [
        "Error: a port must be a whole number from 0 to 65535, not -1",
        "Error: a port must be a whole number from 0 to 65535, not 65536",
        *["TypeError: a port is a whole number"] * 3,
    ]


@pytest_twisted.ensureDeferred
async def test_droppedConnectionsClose(start: Any) -> None:
    """
    At once, without a collector; and what was written before arrives.
    """
    running = start(
        """
        const server = new net.WasiTcpServer(8000)
        let kept
        async function one(cs) { cs.write('x'.repeat(1e6)) }
        async function other(cs) { kept = cs }
        await one(await server.accept())
        await other(await server.accept())
        print('both')
        await server.accept()
        """
    )
    gc.disable()
    try:
        first = await running.connect()
        second = await running.connect()
        await running.until("both")
        assert len(await first.readToEnd(1 << 21)) == 1_000_000
        await deferLater(reactor, 0.05)
        assert not second.whenClosed().called
        await first.close()
        third = await running.connect()
        assert await running.code() == 0, running.said
        # The program is over: what it kept closes, too.
        assert await second.readToEnd(10) == b""
        for conn in (second, third):
            await conn.close()
    finally:
        gc.enable()


@pytest_twisted.ensureDeferred
async def test_flowControl(start: Any) -> None:
    """
    An awaited write goes on when the peer has taken enough.
    """
    running = start(
        """
        const server = new net.WasiTcpServer(8000)
        const cs = await server.accept()
        const piece = 'x'.repeat(1 << 18)
        print(cs.write('begin'))
        for (let i = 0; i < 64; i++) await cs.write(piece)
        print('done')
        """
    )
    conn = await running.connect()
    await running.until("true")
    await deferLater(reactor, 0.3)
    assert running.lines == ["true"]
    assert len(await conn.readToEnd(1 << 28)) == 5 + (64 << 18)
    await conn.close()
    assert await running.code() == 0, running.said
    assert running.lines == ["true", "done"]


@pytest_twisted.ensureDeferred
async def test_unsentIsBounded(start: Any) -> None:
    """
    What waits to be sent isn't in the script's memory, and is bounded all the same.
    """
    running = start(
        """
        const server = new net.WasiTcpServer(8000)
        const all = [await server.accept(), await server.accept()]
        const piece = new ArrayBuffer(1 << 20)
        try { for (let i = 0; i < 100; i++) for (const cs of all) cs.write(piece) } catch (e) { print(e) }
        print('full')
        """,
        limits=GuestLimits(memory=8 << 20),
    )
    conns = [await running.connect(), await running.connect()]
    await running.until("full")
    assert "bytes of this program wait to be sent, the bound is 8388608: await what write() gives" in running.lines[0]
    for conn in conns:
        conn.abort()
    assert await running.code() == 0, running.said


@pytest_twisted.ensureDeferred
async def test_peersThatGo(start: Any) -> None:
    """
    A peer can't end a program: writes that nobody awaits fail quietly, and a read says it once.
    """
    running = start(
        """
        const server = new net.WasiTcpServer(8000)
        const cs = await server.accept()
        await cs.read().catch(e => print('gone'))
        for (let i = 0; i < 100; i++) cs.write('x'.repeat(100000))
        await cs.write('x').catch(e => print('awaited', e instanceof Error))
        print((await cs.read()).byteLength)
        """
    )
    conn = await running.connect()
    await deferLater(reactor, 0.05)
    conn.abort()
    assert await running.code() == 0, running.said
    assert (running.lines, running.said) == (["gone", "awaited true", "0"], [])


@pytest_twisted.ensureDeferred
async def test_peersEndNoProgram(start: Any) -> None:
    """
    What goes wrong with an accepted connection and nobody catches is told, also if a handler has cleaned up first; the
    others go on. What goes wrong with one that the program has made itself ends it.
    """
    running = start(
        """
        async function handle(cs, ms) {
            try {
                for (;;) await cs.write(await cs.read(ms))
            } finally {
                await new Promise(resolve => { setTimeout(resolve, 1) })
                print('ended')
            }
        }
        const server = new net.WasiTcpServer(8000)
        handle(await server.accept(), 1)
        handle(await server.accept())
        handle(await server.accept())
        await server.accept()
        const mine = await net.connect('example.org:80')
        const its = await server.accept()
        its.write('x'.repeat(1e6))
        await its.close()
        for (;;) await mine.write('x'.repeat(1000))
        """
    )
    async with await running.connect(), await running.connect() as going:
        await running.until("ended")
        await going.write("x")
        assert await going.read(1) == b"x"
        async with await running.connect() as other:
            going.abort()
            await other.write("y")
            assert await other.read(1) == b"y"
            async with await running.connect():
                assert await running.code() == 1
    assert running.lines == ["ended", "ended"]
    assert running.said[0] == "Unhandled rejection: Error: timed out"
    assert [" is gone: " in each for each in running.said] == [False, True, True], running.said


@pytest_twisted.ensureDeferred
async def test_whoConnectsFillsNoMemory(start: Any) -> None:
    """
    Of 4 KiB each, a script has so many connections at most: further ones wait until one of them is gone.
    """
    running = start(
        """
        async function handle(cs) {
            for (;;) {
                const data = await cs.read()
                if (data.byteLength === 0) return
                await cs.write(data)
            }
        }
        const server = new net.WasiTcpServer(8000)
        for (let i = 0; i < 256; i++) handle(await server.accept())
        print('full')
        await server.accept(1).catch(e => print(e))
        for (let i = 0; i < 3; i++) handle(await server.accept())
        """,
        limits=GuestLimits(memory=1 << 20),
    )
    conns = [await running.connect() for _ in range(259)]
    await running.until("Error: timed out")
    assert running.lines == ["full", "Error: timed out"]
    for conn in conns:
        await conn.write("x")
    for conn in conns[:256]:
        assert await conn.read(1) == b"x"
    with pytest.raises(TimedOut):
        await conns[256].read(1, timeout=0.02)
    for gone, comes in zip(conns, conns[256:], strict=False):
        gone.abort()
        assert await comes.read(1) == b"x"
    for conn in conns:
        conn.abort()
    assert await running.code() == 0, running.said


@pytest_twisted.ensureDeferred
async def test_connect(start: Any) -> None:
    """
    To the address that stands for another one; and with the two names that the original has for it.
    """
    running = start(
        """
        const server = new net.WasiTcpServer(8000)
        const [host, port] = server.local().split(':')
        const accepted = server.accept()
        const one = await net.connect('example.org:80')
        const other = await net.WasiTcpConn.connect(host, port, 5000)
        one.write('one')
        other.write('other')
        print(newStringFromUTF8(await (await accepted).read()), newStringFromUTF8(await (await server.accept()).read()))
        for (const wrong of ['x', 'x:', ':1', 'a:b:1', '[::1', 'x:99999', 'x\\0:1', 7])
            await net.connect(wrong).then(() => print('connected'), e => print(e instanceof Error))
        await server.close()
        await net.connect(`${host}:${port}`).catch(e => print(e.message.includes('refused')))
        print(await net.nsloopup('127.0.0.1', 'http'), await net.nsloopup('127.0.0.1', 8080))
        await net.nsloopup('127.0.0.1', 'nonsense').catch(e => print(e))
        """
    )
    assert await running.code() == 0, running.said
    assert running.lines == [
        "one other",
        *["true"] * 9,
        "127.0.0.1:80 127.0.0.1:8080",
        "Error: unknown service: 'nonsense' is neither a port nor a TCP service",
    ]


@pytest_twisted.ensureDeferred
async def test_notAllowed(start: Any) -> None:
    running = start(
        """
        for (const address of ['127.0.0.1:1', 'localhost:9', 'LOCALHOST:1', 'example.org:443', '[::1]:2'])
            await net.connect(address, 5000).catch(e => print(e.message.replace(/: .*/s, '')))
        try { new net.WasiTcpServer(8001) } catch (e) { print(e.message.replace(/:.*/, '')) }
        """,
        network=Network(
            allowNet=["localhost:1", "[::1]:1", "*:443"], connectTo={"example.org:443": "127.0.0.1:1"}, allowListen=[80]
        ),
    )
    assert await running.code() == 0, running.said
    assert running.lines == [
        "connecting to 127.0.0.1:1 is not allowed",
        "connecting to localhost:9 is not allowed",
        "can't connect to LOCALHOST:1",
        "can't connect to 127.0.0.1:1",
        "connecting to [::1]:2 is not allowed",
        "listening on port 8001 is not allowed",
    ]


@pytest_twisted.ensureDeferred
async def test_settledAfterwards(start: Any) -> None:
    """
    What a host call brings about is told when the script has run on, not in the middle of it.
    """
    running = start(
        """
        const server = new net.WasiTcpServer(8000)
        const cs = await server.accept()
        let inside = true
        const read = cs.read().then(() => print('read', inside), () => print('failed', inside))
        cs.close()
        for (let i = 0; i < 1e5; i++);
        inside = false
        await read
        """
    )
    conn = await running.connect()
    assert await running.code() == 0, running.said
    await conn.close()
    assert running.lines == ["failed false"]


@pytest_twisted.ensureDeferred
async def test_buffer(start: Any) -> None:
    """
    Messages in pieces, pipelined, cut, malformed; fields of one name.
    """
    running = start(
        """
        import { TextEncoder } from 'util'
        const bytes = text => new TextEncoder().encode(text)
        const b = new http.Buffer()
        const first = 'GET /a HTTP/1.1\\r\\nHost: x:80\\r\\nAccept: 1\\r\\naccept: 2\\r\\n\\r\\n'
        b.append(bytes(first + 'POST /b HTTP/1.1\\r\\nHost: x\\r\\nContent-Le').buffer)
        print(b.byteLength)
        let r = b.parseRequest()
        print(r.uri, JSON.stringify(r.headers), r.getHeader('HOST'), b.length, b.parseRequest())
        b.append(bytes('ngth: 2\\r\\n\\r\\nh'))
        b.append(bytes('i'))
        r = b.parseRequest()
        print(r.method, r.uri, r.version, newStringFromUTF8(r.body), b.byteLength)
        b.append(bytes('nonsense\\r\\n\\r\\n'))
        for (let i = 0; i < 2; i++) try { b.parseRequest() } catch (e) { print(e instanceof Error) }
        b.clear()
        b.append(bytes('GET / HTTP/1.0\\r\\n\\r\\n'))
        print(b.parseRequest().uri)
        const c = new http.Buffer()
        c.append(bytes('HTTP/1.1 404 Not Found\\r\\nSet-Cookie: a=1\\r\\nSet-Cookie: b=2\\r\\nLocation: http://x/\\r\\n\\r\\nuntil'))
        print(c.parseResponse())
        c.append(bytes(' close'))
        c.append(new ArrayBuffer(0))
        r = c.parseResponse()
        print(r.status, r.reason, r.statusText, JSON.stringify(r.headers), newStringFromUTF8(r.body))
        for (const wrong of ['x', null, 1, {}]) try { c.append(wrong) } catch (e) { print(e.name) }
        const q = new http.WasiRequest()
        q.setHeader('host', 'a')
        q.setHeader('Host', 'b')
        q.headers.X = ['1', 2]
        print(JSON.stringify(newStringFromUTF8(q.encode())))
        const wrong = [['a\\r\\nb', 'c'], ['a', 'b\\nc'], ['', 'x'], ['Content-Length', '7'], ['ž', 'x']]
        for (const [name, value] of wrong) {
            const bad = new http.WasiResponse()
            bad.headers[name] = value
            try { print(newStringFromUTF8(bad.encode())) } catch (e) { print(e instanceof Error) }
        }
        for (const status of [99, 600, 'x', NaN, 1.5, 0]) {
            const bad = new http.WasiResponse()
            bad.status = status
            try { print(newStringFromUTF8(bad.encode())) } catch (e) { print(e instanceof Error) }
        }
        """
    )
    assert await running.code() == 0, running.said
    assert running.lines == [
        "90",
        '/a {"Host":"x:80","Accept":"1, 2"} x:80 37 undefined',
        "POST /b HTTP/1.1 hi 0",
        "true",
        "true",
        "/",
        "undefined",
        '404 Not Found Not Found {"Set-Cookie":["a=1","b=2"],"Location":"http://x/"} until close',
        *["TypeError"] * 4,
        '"GET / HTTP/1.0\\r\\nhost: b\\r\\nX: 1\\r\\nX: 2\\r\\n\\r\\n"',
        *["true"] * 11,
    ]


@pytest_twisted.ensureDeferred
async def test_bufferIsBounded(start: Any) -> None:
    """
    What buffers hold isn't in the script's memory, and is bounded all the same.
    """
    running = start(
        """
        const piece = new Uint8Array(1 << 18).fill(65).buffer
        const text = 'POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 8000000\\r\\n\\r\\n'
        const head = Uint8Array.from(text, c => c.charCodeAt(0))
        const buffers = []
        const fill = () => {
            for (let i = 0; i < 1000; i++) {
                const b = new http.Buffer()
                buffers.push(b)
                b.append(head)
                for (let k = 0; k < 4; k++) { b.append(piece); b.parseRequest() }
            }
        }
        try { fill() } catch (e) { print(e) }
        print(buffers.length)
        buffers.length = 0
        await 0
        try { fill() } catch (e) { print(buffers.length) }
        """,
        limits=GuestLimits(memory=8 << 20),
    )
    assert await running.code() == 0, running.said
    assert running.lines[0].endswith("in this program's buffers wait to be parsed, the bound is 8388608")
    # Those that were dropped don't count.
    assert running.lines[1] == running.lines[2] == "8"


@pytest_twisted.ensureDeferred
async def test_stop(start: Any) -> None:
    """
    A program that is stopped resets its connections.
    """
    running = start("const s = new net.WasiTcpServer(8000), cs = await s.accept(); print('one'); await cs.read()")
    conn = await running.connect()
    await running.until("one")
    running.program.stop()
    with pytest.raises(ConnectionClosed):
        await conn.read()
    assert await running.code() == 0, running.said


@pytest_twisted.ensureDeferred
async def test_itsClient(start: Any) -> None:
    """
    A script connects to a server of ours.
    """
    server = WasiTcpServer(0, LOCAL)
    running = start(
        f"const cs = await net.connect('{LOCAL}:{server.local().port}'); cs.write('ping')\n"
        "print(newStringFromUTF8(await cs.read()))"
    )
    async with await server.accept() as conn:
        assert await conn.read() == b"ping"
        await conn.write("pong")
        assert await running.code() == 0, running.said
        assert await conn.read() == b""
    assert running.lines == ["pong"]
    await server.close()
