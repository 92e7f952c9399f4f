"""
Requests that scripts send: what C{js/httpclient.js} asks for.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, succeed

from ..client import Pool, Response, fetch
from ..client.fetching import REDIRECTS
from ..client.urls import Origin
from ..errors import InvalidArgument
from .fields import arePairs, fieldsAsObject
from .guestinterface import Given, Operation, Value
from .handles import Handles, whole, withBody
from .pulling import Pull, orEnd
from .settings import Network
from .waits import Waits

_LONGEST = 2**31 - 1


class _Fetched(Pull):
    """
    A response whose body comes when the script asks for it.
    """

    __slots__ = ("response",)

    def __init__(self, response: Response) -> None:
        super().__init__(response.stream())
        self.response = response


class Fetches:
    """
    Those of one program. Its connections are its own, and kept for its next requests.

    All connections are made to where L{Network} lets them, also those that a redirect leads to.
    """

    __slots__ = ("_handles", "_network", "_pool", "_reactor", "_waits")

    def __init__(self, reactor: Any, handles: Handles, waits: Waits, network: Network) -> None:
        """
        @param takeBody: gives the body of the next request.
        """
        self._reactor = reactor
        self._handles = handles
        self._waits = waits
        self._network = network
        self._pool: Pool | None = None

    def operations(self) -> dict[str, Operation]:
        """
        Return them by name.
        """
        return {"fetch": self._fetch, "responsePiece": self._piece}

    def close(self) -> Deferred[None]:
        """
        Close free connections, and reset those in use.
        """
        return succeed(None) if self._pool is None else self._pool.close()

    def _fetch(self, a: float, b: float, data: Given) -> Value:
        """
        @param a: milliseconds that all of it may take; negative: as the pool has it.
        @param data: JSON of the URL, the method, the fields as pairs, and whether redirects are followed; and the
            body.
        """
        text, body = withBody(data)
        given = json.loads(text)
        if not (isinstance(given, list) and len(given) == 4 and arePairs(given[2])):
            raise InvalidArgument("a fetch takes a URL, a method, fields as pairs, and whether redirects are followed")
        url, method, fields, follows = given
        timeout = None if a < 0 else whole("a timeout", a, 0, _LONGEST) / 1000
        fetching = fetch(
            url,
            method=method,
            headers=fields,
            body=body,
            timeout=timeout,
            redirects=REDIRECTS if follows else 0,
            pool=self._connections(),
        )
        return self._waits.answer(b, fetching, self._fetched)

    def _connections(self) -> Pool:
        if self._pool is None:
            self._pool = Pool(caCertificates=self._network.caCertificates, endpoint=self._where, reactor=self._reactor)
        return self._pool

    def _where(self, origin: Origin) -> str:
        return self._network.target(origin.host, origin.port)

    def _fetched(self, response: Response) -> Value:
        number = self._handles.keep(_Fetched(response), _letGo)
        fields = fieldsAsObject(response.headers.items())
        head = [number, response.status, response.reason, response.version, response.url, bool(response.history)]
        return json.dumps([*head, fields], ensure_ascii=False)

    def _piece(self, a: float, b: float, data: Given) -> Value:
        return self._waits.answer(b, self._handles.get(a, _Fetched).next(), orEnd)


def _letGo(fetched: _Fetched) -> None:
    fetched.response.close()
