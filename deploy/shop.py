"""
The app that the files here deploy. Put yours in its place.
"""

from wasinet_twisted.http import WasiResponse
from wasinet_twisted.net import formatAddress
from wasinet_twisted.server import Request


async def handler(request: Request) -> WasiResponse:
    """
    Greet the client by its address, which tells whether the load balancer has passed it on.
    """
    return WasiResponse(body=f"hello, {formatAddress(request.peer)}\n")
