"""
The candidates of L{benchmarks.javascript}: for each case the script, the same in Python, and Node's http.
"""

from __future__ import annotations

from .candidates import Candidate, module, script
from .httppeers import CANDIDATES as HTTP_PEERS
from .peers import BACKLOG

SCRIPT, PYTHON, NODE = "script", "python", "node"
_OURS = ("wasinet_twisted", "twisted")
_TITLES = {SCRIPT: "the script", PYTHON: "the same in Python", NODE: "Node's http"}
_LISTEN = f"tcp:{{port}}:interface=127.0.0.1:backlog={BACKLOG}"


def _run(port: int, path: str) -> Candidate:
    return Candidate(
        _TITLES[SCRIPT],
        module("wasinet_twisted", "run", "--listen", f"{port}={_LISTEN}", path),
        (*_OURS, "wasmtime", "cffi"),
    )


# By case, and by name. {echo}: the article's script, whose 100 accepts are made endless.
SERVED: dict[str, dict[str, Candidate]] = {
    "echo": {
        SCRIPT: _run(8000, "{echo}"),
        PYTHON: Candidate(_TITLES[PYTHON], module("benchmarks.peers.jsnet", "{port}"), _OURS),
        NODE: Candidate(_TITLES[NODE], ("node", "benchmarks/peers/jsnode.js", "{port}", str(BACKLOG)), program="node"),
    },
    "server": {
        SCRIPT: _run(8001, "benchmarks/peers/jsserver.js"),
        PYTHON: Candidate(
            _TITLES[PYTHON],
            (
                *(script("twistd"), "--reactor=wasinet", "--nodaemon", "--pidfile=", "wasinet-http"),
                *("--app", "benchmarks.peers.ours:handler", "--listen", _LISTEN),
            ),
            _OURS,
        ),
        NODE: HTTP_PEERS["node"],
    },
}
CANDIDATES = SERVED["echo"]
