"""
Which connections another process has.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# pidfd_getfd(2) has this number on each of Linux's architectures that have the usual table.
_PIDFD_GETFD = 438
_LISTENING = "0A"


@dataclass(frozen=True)
class Held:
    """
    A socket of another process.

    @ivar listens: is it one that connections are accepted from?
    @ivar peer: the peer's port; 0 if there is none any more.
    """

    listens: bool
    peer: int


def held(pid: int, ports: Collection[int]) -> list[Held]:
    """
    Return a process' TCP sockets at these ports of ours.
    """
    try:
        return list(_duplicated(pid, ports))
    except PermissionError:
        # As in some containers. The kernel tells its table in parts, between which lines move and may be missed: it is
        # asked more than once. With many sockets, this takes long.
        return [each for _ in range(3) for each in _listed(pid, ports)]
    except ProcessLookupError:
        return []


def _inodes(pid: int) -> dict[int, str]:
    found = {}
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                link = os.readlink(entry.path)
                if link.startswith("socket:["):
                    found[int(entry.name)] = link[8:-1]
    return found


def _duplicated(pid: int, ports: Collection[int]) -> Iterator[Held]:
    """
    Take a copy of each socket, and ask it.

    @raise PermissionError: the system doesn't let us.
    @raise ProcessLookupError: there is no such process.
    """
    call = ctypes.CDLL(None, use_errno=True).syscall
    handle = os.pidfd_open(pid)
    try:
        for number in _inodes(pid):
            copy = call(_PIDFD_GETFD, handle, number, 0)
            if copy < 0:
                if ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
                    raise PermissionError
                # It has been closed meanwhile.
                continue
            with socket.socket(fileno=copy) as each:
                if (
                    each.family != socket.AF_INET
                    or each.type != socket.SOCK_STREAM
                    or each.getsockname()[1] not in ports
                ):
                    continue
                listens = bool(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
                peer = 0
                with suppress(OSError):
                    peer = each.getpeername()[1]
                yield Held(listens, peer)
    finally:
        os.close(handle)


def _listed(pid: int, ports: Collection[int]) -> Iterator[Held]:
    inodes = set(_inodes(pid).values())
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes and int(fields[1].rpartition(":")[2], 16) in ports:
            yield Held(fields[3] == _LISTENING, int(fields[2].rpartition(":")[2], 16))
