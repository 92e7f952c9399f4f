"""
C{wasinet get}, C{head}, C{post}, C{put} and C{delete}: one request, and what comes back.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import ExitStack, suppress
from typing import Any

from twisted.internet.defer import CancelledError

from ..client import ClientLimits, DecodingLimits, Pool, Report, Response, Timeouts, fetch
from ..client.urls import parseUrl
from ..errors import InvalidArgument, UnknownHost, WasinetError
from ..http.limits import MOST
from ..net import TlsClient
from .ending import OutputFailed, say
from .exitcodes import HTTP_ERROR, RANGE_ERROR, READ_ERROR, UNKNOWN_PROXY, WRITE_ERROR, statusOf
from .running import run as runOnReactor
from .transferring.bodies import InputFailed, bodyOf
from .transferring.receiving import Receiving
from .transferring.resuming import CantResume
from .transferring.telling import headLines, linesOf, shown, timingsLine

_STDOUT = "-"


def run(arguments: Namespace) -> int:
    """
    Make the request, and write the response.

    @raise InvalidArgument: the options don't go together.
    """
    file = _fileOf(arguments)
    if arguments.resume:
        if file is None:
            raise InvalidArgument("--resume needs -o FILE or -O")
        if arguments.compressed or arguments.raw:
            raise InvalidArgument("--resume doesn't go with --compressed or --raw")
        if any(name.lower() in ("range", "if-range", "accept-encoding") for name, _ in arguments.header):
            raise InvalidArgument("--resume makes the fields Range, If-Range and Accept-Encoding itself")
    if arguments.key is not None and arguments.cert is None:
        raise InvalidArgument("--key goes with --cert")
    _checkCertificates(arguments)
    name = f"wasinet {arguments.command}"
    return runOnReactor(name, lambda reactor: _Transfer(arguments, file, name, reactor).run())


def _checkCertificates(arguments: Namespace) -> None:
    """
    Look at the files now: the pool does when a connection needs them.
    """
    for option, file, given in (
        ("--cacert", arguments.cacert, {"caCertificates": arguments.cacert}),
        ("--cert", arguments.cert, {"clientCertificate": _identityOf(arguments)}),
    ):
        if file is not None:
            try:
                TlsClient("localhost", **given)
            except InvalidArgument as error:
                raise InvalidArgument(f"{option} {file}: {error}") from error


def _identityOf(arguments: Namespace) -> Any:
    return arguments.cert if arguments.key is None else (arguments.cert, arguments.key)


def _fileOf(arguments: Namespace) -> str | None:
    """
    Return where the body goes; L{None}: to the standard output.
    """
    if arguments.remote_name:
        name = parseUrl(arguments.url).path.partition("?")[0].rpartition("/")[2]
        if name in ("", ".", ".."):
            raise InvalidArgument(f"-O: the last part of {arguments.url} is no file name; use -o FILE")
        return name
    if arguments.output == "":
        raise InvalidArgument("-o needs the name of a file")
    return None if arguments.output in (None, _STDOUT) else str(arguments.output)


class _Transfer:
    """
    One request.
    """

    def __init__(self, arguments: Namespace, file: str | None, name: str, reactor: Any) -> None:
        self._arguments = arguments
        self._name = name
        self._reactor = reactor
        # The last one that was made, redirects included.
        self._report: Report | None = None
        self._receiving = Receiving(arguments, file, reactor)

    async def run(self) -> int:
        """
        @return: the exit status.
        @raise WasinetError: there is no response.
        @raise CancelledError: it was interrupted.
        @raise BrokenPipeError: nobody reads the output any more.
        """
        try:
            with ExitStack() as stack:
                return await self._run(stack)
        except CancelledError:
            self._say(f"interrupted{self._goOn('; ')}")
            raise
        except WasinetError as error:
            status = statusOf(error)
            if isinstance(error, UnknownHost) and self._proxyIsUnknown():
                status = UNKNOWN_PROXY
            return self._fail(status, error)
        except CantResume as error:
            return self._fail(RANGE_ERROR, error)
        except OutputFailed as error:
            return self._fail(WRITE_ERROR, error)
        except InputFailed as error:
            return self._fail(READ_ERROR, error)
        except BrokenPipeError:
            raise
        except OSError as error:
            # The body's file: what is written has an exception of its own.
            return self._fail(READ_ERROR, Exception(f"can't read the body: {error.strerror}"))

    async def _run(self, stack: ExitStack) -> int:
        arguments, receiving = self._arguments, self._receiving
        given = bodyOf(arguments, self._reactor, stack)
        names = {name.lower() for name, _ in arguments.header}
        added = [*given.fields, *receiving.fieldsToSend()]
        fields = [*arguments.header, *(pair for pair in added if pair[0].lower() not in names)]
        async with self._pool() as pool:
            response = await fetch(
                arguments.url,
                method=arguments.command.upper(),
                headers=fields,
                body=given.body,
                redirects=0 if arguments.no_redirects else arguments.max_redirects,
                decode=not arguments.raw,
                unixSocket=arguments.unix_socket,
                interim=(lambda head: self._tell(headLines(head))) if arguments.verbose else None,
                pool=pool,
            )
            async with response:
                if arguments.fail and response.status >= 400:
                    return self._refuse(response)
                try:
                    await receiving.receive(response)
                finally:
                    receiving.close()
            if arguments.timings:
                self._tell(timingsLine(each.url, each.timings) for each in (*response.history, response))
        return 0

    def _pool(self) -> Pool:
        arguments = self._arguments
        return Pool(
            # The user stops what gets too large; a bomb is one by its ratio.
            limits=ClientLimits(decoding=DecodingLimits(decoded=MOST)),
            timeouts=_timeoutsOf(arguments),
            proxy="environment" if arguments.proxy is None else arguments.proxy,
            caCertificates=arguments.cacert,
            clientCertificate=_identityOf(arguments),
            observer=self._observe,
            reactor=self._reactor,
        )

    def _observe(self, report: Report) -> None:
        self._report = report
        if self._arguments.verbose:
            self._tell(linesOf(report))

    def _proxyIsUnknown(self) -> bool:
        report = self._report
        # A proxy of scheme socks5 is told addresses: the host is looked up here.
        return report is not None and report.proxy is not None and not report.proxy.startswith("socks5:")

    def _refuse(self, response: Response) -> int:
        self._say(shown(f"{response.url}: {response.status} {response.reason}".rstrip()))
        return HTTP_ERROR

    def _fail(self, status: int, error: Exception) -> int:
        self._say(" ".join(str(error).split()))
        if went := self._goOn():
            self._say(went)
        return status

    def _goOn(self, before: str = "") -> str:
        """
        Say how an interrupted transfer goes on.
        """
        text = self._receiving.left()
        return f"{before}{text}" if text else ""

    def _say(self, text: str) -> None:
        say(self._name, text)

    def _tell(self, lines: Any) -> None:
        if sys.stderr is not None:
            # Where nobody reads it, the response is still what was asked for.
            with suppress(OSError):
                print("\n".join(lines), file=sys.stderr, flush=True)


def _timeoutsOf(arguments: Namespace) -> Timeouts:
    timeouts = Timeouts()
    connect = arguments.connect_timeout
    total = arguments.timeout
    return Timeouts(
        resolve=timeouts.resolve if connect is None else connect,
        connect=timeouts.connect if connect is None else connect,
        tls=timeouts.tls if connect is None else connect,
        # Who says how long all of it may take says so of each part.
        head=timeouts.head if total is None else None,
        read=timeouts.read if total is None else None,
        total=total,
    )
