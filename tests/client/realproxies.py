"""
Proxies nobody here wrote, on loopback.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.processes import freePort, running
from tests.support import needsTool

LOCAL = "127.0.0.1"

TINYPROXY = """
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
Timeout 600
MaxClients 20
{more}
"""

# No file of squid's own, since it becomes somebody else who may write none here.
SQUID = """
http_port 127.0.0.1:{port}
http_access allow localhost
http_access deny all
cache deny all
memory_cache_shared off
access_log none
cache_log stdio:/dev/stderr
cache_store_log none
netdb_filename none
pinger_enable off
pid_filename none
shutdown_lifetime 0 seconds
visible_hostname squid.example
"""

DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
socksmethod: none
clientmethod: none
user.unprivileged: {user}
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 127.0.0.0/8 to: 127.0.0.2/32 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect }}
"""

HAPROXY = """
defaults
    mode tcp
    timeout connect 20s
    timeout client 60s
    timeout server 60s
listen proxy
    bind 127.0.0.1:{port} ssl crt {certificate}
    server behind 127.0.0.1:{behind}
"""


@contextmanager
def _started(name: str, arguments: Sequence[str], directory: Path, port: int) -> Iterator[int]:
    place = directory / f"{name} {port}"
    place.mkdir(exist_ok=True)
    with running([needsTool(name), *arguments], place) as process:
        process.waitForPorts(port)
        yield port
        # Not at once: it may have started others.
        process.stop()


def _configured(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


@contextmanager
def tinyproxy(directory: Path, more: str = "") -> Iterator[int]:
    """
    An HTTP proxy.

    @param more: more lines of its configuration.
    @return: its port.
    """
    port = freePort()
    path = _configured(directory, f"tinyproxy {port}.conf", TINYPROXY.format(port=port, more=more))
    with _started("tinyproxy", ["-d", "-c", path], directory, port):
        yield port


@contextmanager
def squid(directory: Path) -> Iterator[int]:
    """
    An HTTP proxy.
    """
    port = freePort()
    path = _configured(directory, "squid.conf", SQUID.format(port=port))
    with _started("squid", ["-N", "-f", path], directory, port):
        yield port


@contextmanager
def haproxy(directory: Path, certificate: Path, behind: int) -> Iterator[int]:
    """
    TLS in front of another proxy.

    @param certificate: with its key.
    @param behind: the other proxy's port.
    """
    port = freePort()
    link = directory / "haproxy.pem"
    # Its configuration takes no path with a space as it is.
    link.symlink_to(certificate)
    text = HAPROXY.format(port=port, certificate=link, behind=behind)
    with _started("haproxy", ["-db", "-f", _configured(directory, "haproxy.cfg", text)], directory, port):
        yield port


@contextmanager
def microsocks(directory: Path, *options: str) -> Iterator[int]:
    """
    A SOCKS5 proxy.
    """
    port = freePort()
    with _started("microsocks", ["-i", LOCAL, "-p", str(port), *options], directory, port):
        yield port


@contextmanager
def dante(directory: Path) -> Iterator[int]:
    """
    A SOCKS5 proxy that lets nobody connect to 127.0.0.2.
    """
    port = freePort()
    user = "nobody" if os.getuid() == 0 else os.environ.get("USER", "nobody")
    path = _configured(directory, "danted.conf", DANTE.format(port=port, user=user))
    pid = directory / "danted.pid"
    with _started("danted", ["-f", path, "-p", str(pid)], directory, port):
        yield port
