"""
The origin of all clients: nginx with one worker and a configuration of its own.
C{python -m benchmarks.clients.nginx PORT FOLDER HUGE}

It answers C{/small/...} with some 100 bytes that name the target, C{/large/...} with the 64 KiB of a file, and
C{/huge.bin} with a sparse file of C{HUGE} bytes. C{FOLDER} takes all that it writes.
"""

from __future__ import annotations

import os
import pwd
import random
import sys
from pathlib import Path

from ..peers import BACKLOG, KEEP_ALIVE
from .requests import LARGE, SMALL_BODY

_CONFIGURATION = """\
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout {keepAlive};
    open_file_cache max=16;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog={backlog};
        root {folder};
        location /small/ {{
            default_type text/plain;
            return 200 "{small}";
        }}
        location /large/ {{ rewrite ^ /large.bin break; }}
    }}
}}
"""


def largeBody() -> bytes:
    """
    Return what C{/large/...} is answered with.
    """
    return random.Random("large").randbytes(LARGE)


def configure(port: int, folder: Path, huge: int) -> Path:
    """
    Write the files that are served, and the configuration.

    @param folder: an absolute path.
    @param huge: bytes.
    @return: the configuration's file.
    """
    (folder / "large.bin").write_bytes(largeBody())
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(huge)
    # A worker of root's would be another user's, who may not enter the folder.
    user = "" if os.geteuid() else f"user {pwd.getpwuid(0).pw_name};\n"
    path = folder / "nginx.conf"
    path.write_text(
        _CONFIGURATION.format(
            user=user,
            folder=folder,
            port=port,
            keepAlive=KEEP_ALIVE,
            backlog=BACKLOG,
            small=SMALL_BODY.format(target="$request_uri"),
        )
    )
    return path


if __name__ == "__main__":
    configuration = configure(int(sys.argv[1]), Path(sys.argv[2]).resolve(), int(sys.argv[3]))
    os.execlp("nginx", "nginx", "-e", "stderr", "-c", str(configuration))
