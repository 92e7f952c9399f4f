"""
The servers that L{benchmarks.http} measures. Each answers a POST with C{echo:} and its body and a GET with C{path:} and
its path, as text/plain, in the way its own documentation shows.
"""

# Connections that wait to be accepted: all servers get the same, and enough for wrk, which opens all of its at once.
BACKLOG = 2048
