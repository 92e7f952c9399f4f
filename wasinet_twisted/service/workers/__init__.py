"""
C{--workers}: one parent that opens the listening sockets, and processes that serve on them.

The parent accepts nobody. It starts the workers, starts those anew that have ended, replaces them one after the other
on SIGHUP, writes their access log lines and log messages, and adds up their statistics.
"""
