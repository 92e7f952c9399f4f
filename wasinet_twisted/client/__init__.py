"""
An HTTP/1.1 client: C{fetch}, and the pool of connections behind it.

    response = await fetch("http://example.org/")
    text = await response.text()
"""

from ..errors import ProxyFailed, TooManyRedirects
from .decoding import DecodingLimits
from .fetching import fetch
from .limits import ClientLimits, Timeouts
from .pool import Pool
from .proxies import Proxy
from .report import Report
from .response import Response
from .timings import Timings

__all__ = [
    "ClientLimits",
    "DecodingLimits",
    "Pool",
    "Proxy",
    "ProxyFailed",
    "Report",
    "Response",
    "Timeouts",
    "Timings",
    "TooManyRedirects",
    "fetch",
]
