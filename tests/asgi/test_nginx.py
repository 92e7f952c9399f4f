"""
Behind nginx, as docs/asgi.md sets it up: a path taken off, the client's address, WebSockets, streams.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import PATIENCE, ROOT, Client, freePort, running
from tests.support import needsTool

from .apps import FASTAPI
from .served import SOON, ask, receiveUntil, request, serving

pytestmark = pytest.mark.reactorless

# Its temporary files are those of a directory of the test's.
CONFIGURATION = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.error;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/bodies;
    proxy_temp_path {directory}/proxied;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{servers}
}}
"""


@contextmanager
def nginx(directory: Path, app: int) -> Iterator[int]:
    """
    Run it as the page has it.

    @param app: the port of the app.
    @return: its port.
    """
    program = needsTool("nginx")
    page = (ROOT / "docs" / "asgi.md").read_text(encoding="utf-8")
    found = re.search(r"^    map .*?^    }\n\n", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    port = freePort()
    servers = found[0].replace("listen 80;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8000", f"127.0.0.1:{app}")
    assert str(port) in servers
    assert str(app) in servers
    directory.mkdir()
    path = directory / "nginx.conf"
    # Else its worker is somebody who may not write there.
    user = "user root;" if os.geteuid() == 0 else ""
    path.write_text(CONFIGURATION.format(user=user, directory=directory, servers=servers))
    with running([program, "-c", str(path), "-e", str(directory / "nginx.error")], directory) as process:
        process.waitForPorts(port)
        yield port
        assert process.stop() == 0


def test_behindNginx(tmp_path: Path) -> None:
    from websockets.sync.client import connect

    options = ("--root-path", "/shop", "--proxy-headers")
    with serving(tmp_path, *options, text=FASTAPI) as (process, app), nginx(tmp_path / "nginx", app) as port:
        # A client may say that it is a proxy on this machine: here it is on this machine indeed.
        for said, client in ((), "127.0.0.1"), (("X-Forwarded-For: 1.1.1.1",), "1.1.1.1"):
            where = [f"http://x/shop/{each}" for each in ("where", "items/5")]
            assert json.loads(ask(port, "/shop/where", *said)[1]) == [*where, client]
        assert b"url: '/shop/openapi.json'" in ask(port, "/shop/docs")[1]
        # More than nginx keeps in memory.
        body = b'{"name": "%b"}' % (b"x" * 100_000)
        assert ask(port, "/shop/items", "Content-Type: application/json", method="POST", body=body)[0] == 201
        with connect(f"ws://127.0.0.1:{port}/shop/items/5/ws", open_timeout=PATIENCE) as ws:
            assert json.loads(ws.recv())["url"] == f"ws://127.0.0.1:{port}/shop/items/5/ws"
            ws.send(b"x" * 100_000)
            assert ws.recv() == b"x" * 100_000
        process.waitForOutput("told: WebSocket")
        with Client(port) as client:
            client.send(request("/shop/events"))
            client.socket.settimeout(SOON)
            receiveUntil(client, b"first")
        process.waitForOutput("told: events")
