"""
A page that shows how a server does, its figures as JSON, and as Prometheus reads them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from .. import __version__
from .._speed import speed
from ..http import RequestHead, WasiResponse
from .readiness import Readiness
from .statistics import Statistics
from .statushost import AllowedHosts, authorityOf

_TEXT = "text/plain; charset=utf-8"
_METHODS = ("GET", "HEAD")

_HINT = "metrics need prometheus-client: pip install 'wasinet_twisted[metrics]'\n"

# Nobody else's page may hold or read these, nor is any of them for others' scripts.
_GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class StatusApp:
    """
    A handler that shows a server's statistics: C{/}, C{/status.json} and C{/metrics}. C{/healthz} answers 200 while the
    process turns, C{/readyz} 200 while the server wants requests, else 503.

    The page has no authentication. It is for a listener of its own, on an
    address that only those reach who may see it. It answers only to
    C{localhost}, to IP addresses and to C{hosts}; requests for other names are
    refused with 403, because a page on the web may have made the browser send
    them (DNS rebinding). The last two tell no figures and answer to every name:
    load balancers ask by address, or with a name of their own.
    """

    def __init__(
        self,
        statistics: Statistics,
        limits: Mapping[str, object] | None = None,
        *,
        name: str = "wasinet_twisted",
        version: str = __version__,
        hosts: Iterable[str] | None = (),
        readiness: Readiness | None = None,
    ) -> None:
        """
        @param limits: the server's bounds by name, shown as they are; L{None}
            as a value is no bound.
        @param name: whose page it is.
        @param version: of which version.
        @param hosts: host names, without a port, that it answers to as well. L{None}: it answers to all names; what
            stands in front has to protect it then.
        @param readiness: what C{/readyz} tells; L{None}: the server is always ready.
        @raise InvalidArgument: one of C{hosts} is no host name.
        """
        self._statistics = statistics
        self._limits = dict(limits or {})
        self._name = name
        self._version = version
        self._hosts = None if hosts is None else AllowedHosts(hosts)
        self._metrics: Any = None
        self._readiness = Readiness("ready") if readiness is None else readiness
        self._pages = {"/": self._page, "/status.json": self._json, "/metrics": self._prometheus}
        self._probes = {"/healthz": _healthy, "/readyz": self._ready}

    def __call__(self, request: RequestHead) -> WasiResponse:
        """
        Answer a request.
        """
        path = _path(request.uri)
        page = self._probes.get(path)
        if page is None:
            if self._hosts is not None and not self._hosts.allows(request):
                return _response(403, _TEXT, _refusal(request))
            page = self._pages.get(path)
        if page is None:
            return _response(404, _TEXT, "there are /, /status.json, /metrics, /healthz and /readyz\n")
        if request.method not in _METHODS:
            response = _response(405, _TEXT, "only GET and HEAD\n")
            response.setHeader("Allow", ", ".join(_METHODS))
            return response
        return page()

    def snapshot(self) -> dict[str, Any]:
        """
        What C{/status.json} holds: the statistics' snapshot, whose it is, the limits, and whether the compiled twins
        are used.
        """
        return {
            "name": self._name,
            "version": self._version,
            "speed": str(speed()),
            **self._statistics.snapshot(),
            "limits": self._limits,
        }

    def _page(self) -> WasiResponse:
        html, policy = _loadPage()
        response = _response(200, "text/html; charset=utf-8", html)
        response.setHeader("Content-Security-Policy", policy)
        return response

    def _json(self) -> WasiResponse:
        # A limit may be anything.
        return _response(200, "application/json", json.dumps(self.snapshot(), default=str, separators=(",", ":")))

    def _prometheus(self) -> WasiResponse:
        if self._metrics is None:
            try:
                from . import metrics
            except ImportError:
                return _response(501, _TEXT, _HINT)
            self._metrics = metrics.Metrics(self._statistics)
            self._metricsType = metrics.CONTENT_TYPE
        return _response(200, self._metricsType, self._metrics.text())

    def _ready(self) -> WasiResponse:
        return _response(200 if self._readiness.isReady() else 503, _TEXT, f"{self._readiness.state}\n")


def _healthy() -> WasiResponse:
    return _response(200, _TEXT, "ok\n")


def _path(target: str) -> str:
    """
    The path of a request target, be it in origin-form or in absolute-form (RFC 9112 section 3.2).
    """
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target.partition("?")[0]


def _refusal(request: RequestHead) -> str:
    return (
        f"the status page doesn't answer to the name {authorityOf(request)!r:.300}; ask for localhost or an IP "
        "address, or allow the name: --status-host NAME, StatusApp(hosts=[...])\n"
    )


def _response(status: int, contentType: str, body: bytes | str) -> WasiResponse:
    # The figures are old in a second, and the page changes with the version only, but weighs little.
    return WasiResponse(status, {"Content-Type": contentType, "Cache-Control": "no-store", **_GUARDS}, body)


@cache
def _loadPage() -> tuple[bytes, str]:
    """
    Put the page together of its three parts.

    @return: it, and the Content-Security-Policy that lets its own style and
        script run and nothing else.
    """
    parts = files(__package__)
    html, style, script = (
        parts.joinpath(f"status.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    page = html.replace("<style></style>", f"<style>{style}</style>")
    page = page.replace("<script></script>", f"<script>{script}</script>")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode("utf-8"), policy


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")
