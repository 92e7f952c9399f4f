"""
A plugin of pytest's for gunicorn's asgi_compliance: its fixture C{docker_services}, without docker. The servers are
started as programs, gunicorn's or ours, and nginx before them with the suite's own configuration.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PATIENCE = 20.0
FOLDER = Path("tests/docker/asgi_compliance").resolve()
OURS = os.environ["WASINET_SUITE_SERVER"] == "ours"


def freePort() -> int:
    """
    Return a port of 127.0.0.1 that was free a moment ago, below those of outgoing connections.
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def started(port: int, arguments: list[str], directory: Path) -> Iterator[None]:
    """
    Run a program that listens on a port.
    """
    with (directory / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until = time.monotonic() + PATIENCE
            while True:
                with socket.socket() as trying:
                    if trying.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((directory / f"{port}.log").read_text(errors="replace"))
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def command(port: int, secure: bool) -> list[str]:
    """
    Return the command that runs the suite's app, as its Dockerfile does.
    """
    certificate, key = FOLDER / "certs" / "server.crt", FOLDER / "certs" / "server.key"
    if OURS:
        more = ["--listen", f"ssl:{port}:interface=127.0.0.1:certKey={certificate}:privateKey={key}"]
        return [
            *(sys.executable, "-m", "twisted", "wasinet-asgi", "--app", "apps.main_app:app"),
            *(more if secure else ["--listen", f"tcp:{port}:interface=127.0.0.1"]),
        ]
    return [
        *(sys.executable, "-m", "gunicorn", "apps.main_app:app", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "asgi", "--workers", "2", "--worker-connections", "1000"),
        *("--asgi-disconnect-grace-period", "0", "--no-control-socket"),
        *(("--certfile", str(certificate), "--keyfile", str(key)) if secure else ()),
    ]


def proxied(directory: Path, plain: int, secure: int, plainProxy: int, secureProxy: int) -> list[str]:
    """
    Write the suite's configuration of nginx for ports, names and files that are there.

    @return: the command that runs it.
    """
    text = (FOLDER / "nginx.conf").read_text()
    for before, after in (
        ("gunicorn-asgi:8000", f"127.0.0.1:{plain}"),
        ("gunicorn-asgi-ssl:8443", f"127.0.0.1:{secure}"),
        ("listen 8080;", f"listen 127.0.0.1:{plainProxy};"),
        # nginx has known the directive since 1.25.1 only.
        ("listen 8444 ssl;", f"listen 127.0.0.1:{secureProxy} ssl http2;"),
        ("http2 on;", ""),
        ("/certs/", f"{FOLDER}/certs/"),
        ("/var/log/nginx/", f"{directory}/"),
        ("/var/run/", f"{directory}/"),
        ("/run/", f"{directory}/"),
    ):
        text = text.replace(before, after)
    configuration = directory / "nginx.conf"
    configuration.write_text(text)
    return ["nginx", "-p", str(directory), "-c", str(configuration), "-g", "daemon off; master_process off;"]


@pytest.fixture(scope="session")
def docker_services(certs_dir: object) -> Iterator[dict[str, str]]:
    """
    The servers, and nginx before them.
    """
    plain, secure, plainProxy, secureProxy = (freePort() for _ in range(4))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made, ExitStack() as stack:
        directory = Path(made)
        stack.enter_context(started(plain, command(plain, False), directory))
        stack.enter_context(started(secure, command(secure, True), directory))
        stack.enter_context(started(plainProxy, proxied(directory, plain, secure, plainProxy, secureProxy), directory))
        yield {
            "gunicorn_http": f"http://127.0.0.1:{plain}",
            "gunicorn_https": f"https://127.0.0.1:{secure}",
            "nginx_http": f"http://127.0.0.1:{plainProxy}",
            "nginx_https": f"https://127.0.0.1:{secureProxy}",
        }
