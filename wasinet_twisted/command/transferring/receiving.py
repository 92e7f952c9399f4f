"""
The response, written piece by piece; a file's is such that it can go on later.
"""

from __future__ import annotations

import os
import stat
import sys
from argparse import Namespace
from typing import Any

from ...client import Response
from ...client.urls import parseUrl
from ...errors import IncompleteRead
from ..ending import OutputFailed
from .outputs import Output
from .progress import Progress
from .resuming import CantResume, Part, forget, isComplete, load, partOf, rangeFields, restOf
from .telling import headOf, sizeText


class Receiving:
    """
    What becomes of one response.
    """

    def __init__(self, arguments: Namespace, file: str | None, reactor: Any) -> None:
        """
        @param file: where the body goes; L{None}: to the standard output.
        """
        self._arguments = arguments
        self._file = file
        self._reactor = reactor
        self._output = Output(reactor, file)
        # What the file has that is to be gone on with, and what that is a part of.
        self._size = 0
        self._part: Part | None = None
        # How many bytes there will be in all; L{None}: nobody knows.
        self._total: int | None = None
        # Does something stand beside the file that tells how to go on?
        self._canGoOn = False
        self._writing = False

    def fieldsToSend(self) -> list[tuple[str, str]]:
        """
        Return the fields that the request needs.

        @raise CantResume: the file can't be gone on with.
        """
        arguments, file = self._arguments, self._file
        fields = []
        if file is not None and not (arguments.compressed or arguments.raw):
            # Of a body that the server compresses as it goes, no part can be asked for.
            fields.append(("Accept-Encoding", "identity"))
        if arguments.resume and file is not None:
            self._size = _sizeOf(file)
            if self._size:
                self._part = load(file)
                if self._part is not None and self._part.url != self._url():
                    raise CantResume(f"{file} is a part of {self._part.url}; remove it to start anew")
                fields += rangeFields(self._size, self._part)
        return fields

    async def receive(self, response: Response) -> None:
        """
        Write it.

        @raise CantResume: it is not what was asked for.
        @raise OutputFailed: it can't be written.
        @raise WasinetError: it has not come to its end.
        """
        if self._size and response.status not in (200, 206):
            self._judge(response)
            return
        start, expected = self._size, None
        if self._size and response.status == 206:
            expected, self._total = restOf(response.headers, self._size, self._part)
            if self._part is None:
                raise CantResume(
                    f"nothing beside {self._file} tells of which version it is a part; remove it to start anew"
                )
        else:
            if self._size and self._part is None:
                raise CantResume(f"the server sends all of it, and {self._file} is there; remove it to start anew")
            start = self._size = 0
            self._total = self._lengthOf(response)
        await self._output.open(start)
        self._writing = True
        self._keepPart(response)
        if self._arguments.include or self._arguments.command == "head":
            await self._writeHead(response)
        await self._writeBody(response, start, expected)
        self.close()
        if self._total is not None and expected is not None and start + expected != self._total:
            raise IncompleteRead(f"the server has sent {sizeText(expected)} and not all that was missing", b"", None)
        self._writing = False
        if self._canGoOn and self._file is not None:
            forget(self._file)

    def _judge(self, response: Response) -> None:
        """
        The server sends no part.
        """
        assert self._file is not None
        if response.status == 416 and isComplete(response.headers, self._size):
            # There was nothing left to fetch.
            forget(self._file)
            return
        raise CantResume(
            f"{response.url}: {response.status} {response.reason}".rstrip() + f"; {self._file} is as it was"
        )

    def _keepPart(self, response: Response) -> None:
        """
        Let what is written be gone on with: a file that holds a whole resource from its beginning, as it is.
        """
        file = self._file
        if file is None or not self._output.isRegular:
            return
        if self._size:
            self._canGoOn = True
            return
        forget(file)
        fits = self._arguments.command == "get" and response.status == 200 and not self._isCoded(response)
        part = partOf(self._url(), response.headers) if fits else None
        if part is not None:
            try:
                part.save(file)
            except OSError as error:
                raise OutputFailed(f"can't write beside {file}: {error.strerror}") from error
            self._canGoOn = True

    async def _writeHead(self, response: Response) -> None:
        if self._file is None or self._arguments.command == "head":
            await self._output.write(headOf(response, self._output.isTerminal))
        else:
            # The file is the body's.
            await Output(self._reactor, None).write(headOf(response, os.isatty(1)))

    async def _writeBody(self, response: Response, start: int, expected: int | None) -> None:
        output = self._output
        toTerminal = output.isTerminal
        progress = None
        if sys.stderr is not None and sys.stderr.isatty() and not toTerminal:
            name = self._file or response.url.partition("?")[0].rstrip("/").rpartition("/")[2]
            progress = Progress(os.path.basename(name), start, self._total, self._reactor)
        count = 0
        try:
            async for piece in response.stream():
                if toTerminal and b"\0" in piece:
                    raise OutputFailed("the body is binary, and would garble the terminal; use -o FILE, or -o - | …")
                count += len(piece)
                if expected is not None and count > expected:
                    raise CantResume(f"the server has sent more than the {expected} bytes that it announced")
                await output.write(piece)
                if progress is not None:
                    progress.done = start + count
        finally:
            if progress is not None:
                progress.stop()
        if expected is not None and count < expected:
            raise IncompleteRead(f"the body ended after {count} of {expected} bytes", b"", expected)

    def left(self) -> str:
        """
        Return how a transfer that has stopped goes on; C{""}: nothing of it is there.
        """
        file = self._file
        if file is None or not self._writing or not self._output.isRegular:
            return ""
        try:
            there = sizeText(os.stat(file).st_size)
        except OSError:
            return ""
        if self._total is not None:
            there += f" of {sizeText(self._total)}"
        if self._canGoOn:
            return f"{there} are in {file}, and --resume goes on from there"
        return f"{there} are in {file}; the server has told no version that one could go on with"

    def close(self) -> None:
        """
        Close the file.
        """
        self._output.close()

    def _url(self) -> str:
        return str(parseUrl(self._arguments.url))

    def _isCoded(self, response: Response) -> bool:
        return response.headers.get("Content-Encoding", "identity").lower() != "identity"

    def _lengthOf(self, response: Response) -> int | None:
        text = response.headers.get("Content-Length", "")
        if self._isCoded(response) and not self._arguments.raw:
            return None
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _sizeOf(file: str) -> int:
    """
    @raise CantResume: it is no file.
    """
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise CantResume(f"can't look at {file}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise CantResume(f"{file} is no regular file")
    return found.st_size
