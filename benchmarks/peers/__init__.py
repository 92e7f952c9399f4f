"""
The servers that the benchmarks measure, each in the way its own documentation shows.

Those of L{benchmarks.http} answer a POST with C{echo:} and its body and a GET with C{path:} and its path, as
text/plain.
Those of L{benchmarks.tcp}, whose names begin with C{tcp}, send back what comes; so do those of
L{benchmarks.websocket}, whose names begin with C{ws}, message by message.
"""

# Connections that wait to be accepted: all servers get the same, and enough for wrk, which opens all of its at once.
BACKLOG = 4096
# How long an idle connection is kept at least, in seconds, where that is to be said: as long as ours is.
KEEP_ALIVE = 75
# More connections than any benchmark has, where a bound is to be said.
MOST = 65536


def pieces(data: bytes, count: int) -> list[bytes]:
    """
    What is to be sent back in so many writes.
    """
    size = -(-len(data) // count)
    return [data[at : at + size] for at in range(0, len(data), size)]
