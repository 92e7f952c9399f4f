"""
L{files}: a handler that serves a directory.
"""

from __future__ import annotations

import mimetypes
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from ...errors import InvalidArgument
from ...http import REASONS, WasiResponse
from ..request import Request
from .body import PIECE, FilePieces
from .codings import ENDINGS, acceptable, checkCodings
from .conditions import Validators, rangeHolds, statusBy
from .mediatypes import typeOf
from .opening import Opened, Root
from .page import POLICY, DirectoryPage
from .paths import Refused, namesOf
from .ranges import Range, contentRange, multipart, rangesOf

_METHODS = "GET, HEAD"
_SAFE = {"X-Content-Type-Options": "nosniff"}


def files(
    directory: str | os.PathLike[str],
    *,
    index: Sequence[str] = ("index.html",),
    listing: bool = True,
    dotFiles: bool = False,
    followSymlinks: bool = False,
    precompressed: Sequence[str] = (),
    prefix: str = "/",
    charset: str = "utf-8",
) -> Callable[[Request], Coroutine[Any, Any, WasiResponse]]:
    """
    Make a handler that serves the files of a directory.

        server = serve(files("public"), 8080)

    It answers GET and HEAD, with ETag and Last-Modified, conditions (RFC 9110 section 13) and ranges (section 14; at
    most 16 at a time, together no longer than the file; else the whole file is sent). Files are opened and read in the
    reactor's thread, 128 KiB at a time and no faster than the client takes it: right for a local disk, not for a
    network's. Only regular files and directories are served. If a file becomes shorter while it is sent, the
    connection is reset.

    @param directory: its path. Nothing outside of it is served.
    @param index: names of files that are sent for a directory, if they exist; the first that does.
    @param listing: does a directory without such a file have a page that lists it, 10,000 files at most?
    @param dotFiles: are files served whose name, or a directory's on the way, begins with a dot? What counts is the
        name that a client asks for, not what a link leads to.
    @param followSymlinks: are links followed that lead out of the directory? Those that stay inside always are.
    @param precompressed: codings, the best first, of C{"zstd"}, C{"br"} and C{"gzip"}: to a client that accepts one, a
        neighbour of the file is sent, with C{.zst}, C{.br} or C{.gz} at its name's end, unless it is older than the
        file.
    @param prefix: the path that the directory has in URLs; it begins and ends with a slash.
    @param charset: what text is encoded in.
    @raise InvalidArgument: C{directory} is none, or another argument can't be used.
    """
    path = os.path.abspath(directory)
    if not os.path.isdir(path):
        raise InvalidArgument(f"directory must be one that exists, not {os.fspath(directory)!r}")
    if not (prefix.startswith("/") and prefix.endswith("/")):
        raise InvalidArgument(f"prefix must begin and end with a slash, not {prefix!r}")
    if isinstance(index, str) or any(not each or "/" in each for each in index):
        raise InvalidArgument(f"index must be a sequence of names of files, not {index!r}")
    # It reads files of the system's, now rather than at the first request.
    mimetypes.init()
    shown = _Files(Root(os.fsencode(path), followSymlinks), checkCodings(precompressed), charset)

    async def handler(request: Request) -> WasiResponse:
        if request.method not in ("GET", "HEAD"):
            return _plain(405, {"Allow": _METHODS})
        raw, query = request._target()
        if not raw.startswith(prefix):
            return _plain(404)
        try:
            names = namesOf(raw[len(prefix) :], dotFiles)
            last = names.pop()
            if last:
                return shown.file(request, [*names, last], query)
            return shown.directory(request, names, [os.fsencode(each) for each in index], listing, dotFiles)
        except Refused as error:
            return _plain(error.status)

    return handler


class _Files:
    """
    What is beneath one directory, as responses.
    """

    def __init__(self, root: Root, codings: Sequence[str], charset: str) -> None:
        self._root = root
        self._codings = codings
        self._charset = charset

    def file(self, request: Request, names: list[bytes], query: str) -> WasiResponse:
        """
        @raise Refused: there is none.
        """
        file = self._root.open(names)
        if file.isDirectory:
            # Relative, so that it holds behind a proxy that has another path for it; with "./", since what stands
            # before a colon would be a scheme.
            return _plain(301, {"Location": f"./{quote(names[-1], safe='')}/{f'?{query}' if query else ''}"})
        return self._send(request, file, names)

    def directory(
        self, request: Request, names: list[bytes], index: Sequence[bytes], listing: bool, dotFiles: bool
    ) -> WasiResponse:
        """
        @raise Refused: there is none, or it is not to be shown.
        """
        directory = self._root.open(names)
        if not directory.isDirectory:
            raise Refused(404)
        for name in index:
            try:
                file = self._root.open([*names, name])
            except Refused as error:
                if error.status == 404:
                    continue
                raise
            if not file.isDirectory:
                return self._send(request, file, [*names, name])
        if not listing:
            raise Refused(403)
        page = DirectoryPage(self._root, directory, names, dotFiles)
        fields = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY, **_SAFE}
        # One that is long is sent in pieces, so that others have their turn in between.
        return WasiResponse(200, fields, b"".join(page) if page.isShort else page)

    def _send(self, request: Request, file: Opened, names: list[bytes]) -> WasiResponse:
        name = os.fsdecode(names[-1])
        fields = {"Content-Type": typeOf(name, self._charset), **_SAFE}
        coding = ""
        if self._codings:
            fields["Vary"] = "Accept-Encoding"
            file, coding = self._compressed(request, file, names)
            if coding:
                fields["Content-Encoding"] = coding
        now = time.time()
        size = file.status.st_size
        validators = Validators.of(file.status, coding)
        fields |= validators.fields(now)
        status = statusBy(request, validators)
        if status == 412:
            return _plain(412)
        if status == 304:
            # RFC 9110 section 15.4.5: what a cache has to know, and nothing else.
            return WasiResponse(304, {key: fields[key] for key in ("ETag", "Last-Modified", "Vary") if key in fields})
        fields["Accept-Ranges"] = "bytes"
        status, parts = 200, [(0, size)]
        value = request.getHeader("Range") if request.method == "GET" else None
        if value is not None and rangeHolds(request, validators, now):
            ranges = rangesOf(value, size)
            if ranges is not None and not ranges:
                return _plain(416, {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
            if ranges is not None:
                status, parts = 206, _partial(ranges, size, fields)
        return _answer(request, status, fields, FilePieces(file, repr(name), parts))

    def _compressed(self, request: Request, file: Opened, names: list[bytes]) -> tuple[Opened, str]:
        """
        @return: what is to be sent, and its coding.
        """
        for coding in acceptable(request.getHeader("Accept-Encoding"), self._codings):
            try:
                neighbour = self._root.open([*names[:-1], names[-1] + ENDINGS[coding].encode("ascii")])
            except Refused:
                continue
            if not neighbour.isDirectory and neighbour.status.st_mtime_ns >= file.status.st_mtime_ns:
                return neighbour, coding
        return file, ""


def _partial(ranges: list[Range], size: int, fields: dict[str, str]) -> list[Any]:
    """
    @param fields: are made those of a 206.
    @return: what its body is made of.
    """
    if len(ranges) == 1:
        fields["Content-Range"] = contentRange(ranges[0], size)
        return [*ranges]
    fields["Content-Type"], parts = multipart(ranges, size, fields["Content-Type"])
    return parts


def _answer(request: Request, status: int, fields: dict[str, str], pieces: FilePieces) -> WasiResponse:
    length = pieces.length
    if request.method == "HEAD":
        return WasiResponse(status, fields | {"Content-Length": str(length)})
    if length <= PIECE:
        # In one piece it costs less.
        with closing(pieces):
            return WasiResponse(status, fields, b"".join(pieces))
    return WasiResponse(status, fields | {"Content-Length": str(length)}, pieces)


def _plain(status: int, fields: dict[str, str] | None = None) -> WasiResponse:
    headers = {"Content-Type": "text/plain; charset=utf-8", **_SAFE, **(fields or {})}
    return WasiResponse(status, headers, f"{status} {REASONS[status]}\n")
