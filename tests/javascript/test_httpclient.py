"""
fetch(), request() and get() of the module http, and what goes over the sockets by TLS, from a script.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.command.origin import CONTENT, Handler, hello, moved, never, origin, packed
from tests.processes import PATIENCE, Process, freePort, run, running

from .support import command, needsEngine

pytestmark = needsEngine

Run = Callable[..., Process]


@pytest.fixture
def runs(tmp_path: Path) -> Run:
    """
    Runs a program to its end. C{shows()} in it prints JSON.
    """

    def program(source: str, *options: str) -> Process:
        path = tmp_path / "program.js"
        path.write_text(_PRELUDE + source)
        return run(command(path, *options), tmp_path)

    return program


_PRELUDE = """
import { fetch, get, request } from 'http'
import { Buffer } from 'wasi_http'
import { WasiTcpConn, WasiTlsConn } from 'wasi_net'
const shows = value => print(JSON.stringify(value))
const caught = async promise => { try { return await promise } catch (e) { return `${e.name}: ${e.message}` } }
"""


def shown(process: Process) -> list[object]:
    """
    What a program that has ended well has shown.
    """
    assert (process.process.returncode, process.stderr()) == (0, "")
    return [json.loads(line) for line in process.stdout().splitlines()]


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """
    A server that gives these bytes to one connection after the other, as soon as that has sent something, and then
    closes it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(PATIENCE)
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(PATIENCE)


def told(handler: Handler) -> None:
    """
    Tell the request's fields and its body.
    """
    handler.reply(200, json.dumps([handler.headers.items(), handler.body.decode()]).encode())


def large(handler: Handler) -> None:
    handler.reply(200, CONTENT)


def test_responses(runs: Run) -> None:
    with origin(hello=hello, echo=told, packed=packed, moved=moved("/hello"), large=large) as server:
        process = runs(
            f"""
            const at = path => '{server.url}' + path
            const hello = await fetch(at('/hello'))
            const {{ ok, status, statusText, version, url }} = hello
            shows([ok, status, statusText, version, url === at('/hello'), await hello.text()])
            shows(await caught(hello.text()))
            const missing = await fetch(at('/missing'))
            shows([missing.ok, missing.status])
            const echoed = await fetch(at('/echo'), {{
                method: 'post', body: 'späť', headers: {{ 'X-A': ['1', '2'] }}, version: 'HTTP/1.1',
            }})
            shows(await echoed.json())
            const buffer = new Buffer()
            buffer.append(new Uint8Array([65, 66]))
            shows(await (await fetch(at('/echo'), {{ method: 'PUT', body: buffer }})).json())
            const moved = await fetch(at('/moved'))
            shows([moved.redirected, moved.status, moved.url === at('/hello')])
            const kept = await fetch(at('/moved'), {{ redirect: 'manual' }})
            shows([kept.redirected, kept.status, kept.headers.location])
            const packed = await fetch(at('/packed'))
            shows((await packed.arrayBuffer()).byteLength)
            const large = await fetch(at('/large'))
            let size = 0, pieces = 0
            for await (const piece of large) {{ size += piece.byteLength; pieces++ }}
            shows([size, pieces > 1])
            let chunks = 0
            await (await fetch(at('/large'))).onChunk(async piece => {{ chunks += piece.byteLength }})
            shows(chunks)
            """
        )
    body = shown(process)
    assert body[0] == [True, 200, "OK", "HTTP/1.1", True, "hello\n"]
    assert body[1] == "TypeError: the body has been read, or is being read"
    assert body[2] == [False, 404]
    fields, posted = body[3]  # type: ignore[misc]
    assert posted == "späť"
    assert ["Content-Type", "text/plain;charset=UTF-8"] in fields
    assert [value for name, value in fields if name == "X-A"] == ["1", "2"]
    assert body[4][1] == "AB"  # type: ignore[index]
    assert body[5] == [True, 200, True]
    assert body[6] == [False, 302, "/hello"]
    assert body[7] == len("hello\n")
    assert body[8] == [len(CONTENT), True]
    assert body[9] == len(CONTENT)


def test_nodesWay(runs: Run) -> None:
    with origin(echo=told, hello=hello) as server:
        port = server.server_address[1]
        process = runs(
            f"""
            const all = response => new Promise(resolve => {{
                let text = ''
                response.on('data', piece => {{ text += piece }}).on('end', () => {{ resolve(text) }})
            }})
            const options = {{ hostname: '127.0.0.1', port: {port}, path: '/echo', method: 'POST' }}
            const sent = request(options, async response => {{
                shows([response.statusCode, response.httpVersion, await all(response)])
                get('{server.url}/hello', async response => {{ shows((await all(response)).length > 0) }})
            }})
            sent.setHeader('X-A', 'b')
            sent.write('one ')
            sent.end('two')
            request('http://127.0.0.1:{freePort()}/').on('error', e => {{ shows(e.message.includes('refused')) }}).end()
            """
        )
        lines = shown(process)
        assert True in lines
        answer = next(each for each in lines if isinstance(each, list))
        assert answer[:2] == [200, "1.1"]
        fields, body = json.loads(answer[2])
        assert body == "one two"
        assert ["X-A", "b"] in fields


def test_onlyWhereItMay(runs: Run) -> None:
    """
    Neither a redirect nor another name leads around --allow-net; --connect-to holds for both.
    """
    with origin(secret=hello) as forbidden, origin(hello=hello, away=moved("http://other.test/secret")) as server:
        allowed = f"127.0.0.1:{server.server_address[1]}"
        process = runs(
            f"""
            for (const url of [
                '{server.url}/hello', 'http://moved.test/hello', '{server.url}/away', '{forbidden.url}/secret',
                'http://localhost:{server.server_address[1]}/hello', 'http://other.test/secret',
            ]) shows(await caught(fetch(url).then(r => r.status)))
            shows(await caught(WasiTcpConn.connect('other.test', 80)))
            shows(await caught(WasiTlsConn.connect('other.test', 443)))
            shows(await caught(new Promise((_, reject) => {{ get('http://other.test/').on('error', reject) }})))
            """,
            "--allow-net",
            f"{allowed},moved.test:80",
            "--connect-to",
            f"moved.test:80={allowed}",
            "--connect-to",
            f"other.test:80=127.0.0.1:{forbidden.server_address[1]}",
        )
        assert forbidden.requests == []
    first, second, *refused = shown(process)
    assert [first, second] == [200, 200]
    assert len(refused) == 7
    for each in refused:
        assert "is not allowed: see --allow-net" in str(each)


def test_hostileServers(runs: Run) -> None:
    """
    Each is an error that the script catches.
    """
    answers = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + b"[" * 400_000,
    )
    with answering(*answers) as port:
        process = runs(
            f"""
            for (let i = 0; i < {len(answers)}; i++) {{
                const method = i === 4 ? 'POST' : 'GET'
                const body = fetch('http://127.0.0.1:{port}/', {{ method }}).then(r => i === 8 ? r.json() : r.text())
                shows(await caught(body))
            }}
            shows('end')
            """
        )
    lines = shown(process)
    assert lines[-1] == "end"
    assert len(lines) == len(answers) + 1
    for each in lines[:-1]:
        assert "Error: " in str(each)


def test_whatItIsGiven(runs: Run) -> None:
    """
    Whatever is wrong with it is an error of the script's, which nothing is sent for.
    """
    with origin(hello=hello, never=never) as server:
        process = runs(
            f"""
            const url = '{server.url}/hello'
            const wrong = [
                [], ['nonsense'], ['ftp://a/'], [url, {{ method: 'A B' }}], [url, {{ method: 'CONNECT' }}],
                [url, {{ headers: {{ 'X': 'a\\r\\nB: c' }} }}], [url, {{ headers: {{ 'a b': 'c' }} }}],
                [url, {{ headers: {{ 'Content-Length': '5' }}, method: 'POST', body: 'ab' }}],
                [url, {{ version: 'HTTP/2' }}], [url, {{ redirect: 'error' }}], [url, {{ timeout: -1 }}],
                [url, {{ timeout: 'x' }}], ['http://a b/'], ['http://127.0.0.1:99999/'],
            ]
            for (const given of wrong) shows(await caught(fetch(...given)))
            shows(await caught(fetch('{server.url}/never', {{ timeout: 50 }})))
            """
        )
        asked = [each.path for each in server.requests]
    lines = shown(process)
    assert len(lines) == 15
    assert all("Error: " in str(each) for each in lines)
    assert lines[-1] == "Error: timed out"
    assert asked in ([], ["/never"])


def test_aFailureThatNobodyCatches(runs: Run) -> None:
    process = runs(f"await fetch('http://127.0.0.1:{freePort()}/')")
    assert process.process.returncode == 1
    assert "refused" in process.stderr()


def test_tls(runs: Run, tmp_path: Path) -> None:
    """
    A socket by TLS, to a server whose certificate is verified by its name.
    """
    authority = Authority(tmp_path)
    name = str(authority.issue("a.test")).replace(":", "\\:")
    port = freePort()
    serving = tmp_path / "server"
    serving.mkdir()
    script = serving / "echo.js"
    script.write_text(
        """
        import { WasiTcpServer } from 'wasi_net'
        const server = new WasiTcpServer(8000)
        const echo = async conn => { conn.write('echo:' + newStringFromUTF8(await conn.read())) }
        for (;;) echo(await server.accept()).catch(e => { print(e) })
        """
    )
    endpoint = f"8000=ssl:{port}:privateKey={name}:certKey={name}:interface=127.0.0.1"
    with running(command(script, "--listen", endpoint), serving) as process:
        process.waitForPorts(port)
        done = runs(
            """
            const conn = await WasiTlsConn.connect('a.test', 443, 10000)
            await conn.write('WasmEdge')
            shows(newStringFromUTF8(await conn.read()))
            await conn.close()
            shows(await caught(WasiTlsConn.connect('b.test', 443)))
            """,
            "--cacert",
            str(authority.path),
            *("--connect-to", f"a.test:443=127.0.0.1:{port}", "--connect-to", f"b.test:443=127.0.0.1:{port}"),
        )
    echoed, refused = shown(done)
    assert echoed == "echo:WasmEdge"
    assert "b.test" in str(refused)


def test_messages(runs: Run) -> None:
    """
    What wasi_http has beside the article's.
    """
    process = runs(
        r"""
        import { URL, WasiRequest, WasiResponse } from 'wasi_http'
        const text = bytes => newStringFromUTF8(bytes)
        const bytes = text => { const r = new WasiRequest(); r.uri = '/'; r.method = 'POST'; return r.encode(text) }
        shows(text(bytes('hé')))
        const raw = new Buffer()
        const parse = data => { if (data) raw.write(data); return raw.parseChunk() }
        shows([parse('4\r\nWasm'), raw.byteLength].map(each => each instanceof ArrayBuffer ? text(each) : each))
        shows([text(parse('\r\n4\r\nEdge')), parse() ?? 'pending', parse('\r\n0\r\n\r\nrest')])
        shows([text(raw.buffer), raw.length])
        shows(await caught((async () => { const b = new Buffer(); b.write('xyz\r\n'); b.parseChunk() })()))
        const whole = new Buffer()
        whole.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n')
        const response = whole.parseResponse()
        shows([response.bodyLength, text(response.body), text(whole.parseChunk()), whole.parseChunk()])
        const half = new Buffer()
        half.write('GET / HT')
        shows([text(half.buffer), half.byteLength])
        half.write('TP/1.1\r\nHost: x\r\n\r\nGET /2')
        shows([half.parseRequest().uri, text(half.buffer), half.bodyLength ?? 'none'])
        half.clear()
        shows([half.byteLength, text(half.buffer)])
        const written = []
        const answer = new WasiResponse()
        answer.headers = { 'Content-Length': '3', X: 1 }
        const chunks = answer.chunk({ write: data => { written.push(text(data)); return true } })
        shows([chunks.write('hé'), chunks.write(''), chunks.end(new Uint8Array([33]))])
        shows(written.join(''))
        shows(await caught((async () => chunks.write('x'))()))
        const url = new URL('HTTPS://me:pass@Example.org/a/b?c=d#e')
        shows([url.scheme, url.username, url.password, url.host, url.port, url.path, url.query, url.href])
        shows([new URL('http://[::1]:8000').host, new URL('http://a').path, new URL('http://a:8000').port])
        const parsed = async text => new URL(text)
        for (const wrong of ['', 'a', 'http://', 'http://a b/', 'http://a:99999/']) shows(await caught(parsed(wrong)))
        """
    )
    lines = shown(process)
    assert lines[0] == "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nhé"
    assert lines[1] == ["Wasm", 0]
    assert lines[2] == ["Edge", "pending", None]
    assert lines.pop(3) == ["rest", 4]
    assert "Error: " in str(lines[3])
    assert lines[4] == ["chunked", "ab", "ab", None]
    assert lines[5] == ["GET / HT", 8]
    assert lines[6] == ["/", "GET /2", "none"]
    assert lines[7] == [0, ""]
    assert lines[8] == [True, True, True]
    assert lines[9] == ("HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhé\r\n1\r\n!\r\n0\r\n\r\n")
    assert lines[10] == "Error: write() after end()"
    assert lines[11] == [
        "https",
        "me",
        "pass",
        "example.org",
        443,
        "/a/b",
        "c=d",
        "HTTPS://me:pass@Example.org/a/b?c=d#e",
    ]
    assert lines[12] == ["[::1]", "/", 8000]
    assert all(str(each).startswith("TypeError: no URL") for each in lines[13:])
