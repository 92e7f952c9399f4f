"""
The pieces of a response's body, whichever way they come.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable

from ..http.messages import PieceSource, toBody


async def inPieces(pieces: PieceSource) -> AsyncGenerator[bytes, None]:
    """
    The pieces of a body, whichever way they come; empty ones are left out. What gives them is closed in the end.

    @raise LocalProtocolError: one is neither bytes nor str.
    """
    try:
        if isinstance(pieces, AsyncIterable):
            async for piece in pieces:
                if data := toBody(piece):
                    yield data
        else:
            assert isinstance(pieces, Iterable)
            for piece in pieces:
                if data := toBody(piece):
                    yield data
    finally:
        await closePieces(pieces)


async def closePieces(pieces: PieceSource | None) -> None:
    """
    Tell whatever gives the pieces that no more are wanted.
    """
    for name in ("aclose", "close"):
        close = getattr(pieces, name, None)
        if close is not None:
            closing = close()
            if hasattr(closing, "__await__"):
                await closing
            return
