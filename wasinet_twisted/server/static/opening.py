"""
Opening what lies beneath a directory, and nothing else.

A check of a path before it is opened would leave time to exchange a directory
for a link. So each name is opened relative to the directory before it, and
never through a link. Where a link stands in the way, the path is resolved
first; if the result lies beneath the directory, it is opened in the same manner.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from .paths import Refused

# Without O_NONBLOCK the opening of a FIFO would wait for a writer, for ever perhaps.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# To pass through a directory, the right to list it is not needed.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC

_STATUSES = {
    errno.ENOENT: 404,
    errno.ENOTDIR: 404,
    errno.ELOOP: 404,
    errno.ENAMETOOLONG: 404,
    errno.EINVAL: 404,
    errno.ENXIO: 404,
    errno.EACCES: 403,
    errno.EPERM: 403,
    # The next request may find a descriptor that is free.
    errno.EMFILE: 503,
    errno.ENFILE: 503,
}


class Opened:
    """
    A regular file or a directory that is open. It is closed with its last reference.

    @ivar descriptor: for reading.
    @ivar status: its size, its times, its kind.
    """

    __slots__ = ("_closed", "descriptor", "status")

    def __init__(self, descriptor: int) -> None:
        """
        @raise Refused: 404, it is neither.
        """
        self._closed = False
        self.descriptor = descriptor
        self.status = os.fstat(descriptor)
        _checkKind(self.status)

    @property
    def isDirectory(self) -> bool:
        """
        Is it a directory?
        """
        return stat.S_ISDIR(self.status.st_mode)

    def close(self) -> None:
        """
        Close it. Closing it again does no harm.
        """
        if not self._closed:
            self._closed = True
            os.close(self.descriptor)

    def __del__(self) -> None:
        self.close()


class Root:
    """
    The directory beneath which files are opened. It is looked up for each file: another may take its place.
    """

    def __init__(self, path: bytes, followSymlinks: bool) -> None:
        """
        @param followSymlinks: may links lead out of it?
        """
        self._path = path
        self._followSymlinks = followSymlinks

    def open(self, names: Sequence[bytes]) -> Opened:
        """
        Open a regular file or a directory.

        @param names: those of the directories on the way, and its own; none for the root itself.
        @raise Refused: it is not there, is neither, leads out, or can't be opened.
        """
        try:
            if self._followSymlinks:
                return _open(os.path.join(self._path, *names), 0, None)
            try:
                return _openBeneath(self._path, names)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                return self._openResolved(names)
        except OSError as error:
            status = _STATUSES.get(error.errno or 0)
            if status is None:
                raise
            raise Refused(status) from error

    def _openResolved(self, names: Sequence[bytes]) -> Opened:
        root = os.path.realpath(self._path, strict=True)
        resolved = os.path.realpath(os.path.join(root, *names), strict=True)
        if resolved == root:
            return _openBeneath(root, ())
        beneath = root.rstrip(b"/") + b"/"
        if not resolved.startswith(beneath):
            raise Refused(404)
        return _openBeneath(root, resolved[len(beneath) :].split(b"/"))


def _openBeneath(root: bytes, names: Sequence[bytes]) -> Opened:
    """
    @raise OSError: ELOOP or ENOTDIR, there is a link on the way.
    """
    if not names:
        return _open(root, 0, None)
    parent = os.open(root, _PASS)
    try:
        for name in names[:-1]:
            child = os.open(name, _PASS | os.O_NOFOLLOW, dir_fd=parent)
            os.close(parent)
            parent = child
        return _open(names[-1], os.O_NOFOLLOW, parent)
    finally:
        os.close(parent)


def _open(path: bytes, flags: int, parent: int | None) -> Opened:
    status = os.stat(path, dir_fd=parent, follow_symlinks=not flags)
    if not stat.S_ISLNK(status.st_mode):
        # Opening a device, or a FIFO that somebody waits to write to, is noticed at its other end.
        _checkKind(status)
    return Opened(os.open(path, _READ | flags, dir_fd=parent))


def _checkKind(status: os.stat_result) -> None:
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise Refused(404)
