"""
Which ids and traces a command's requests have, by its options.
"""

from __future__ import annotations

from twisted.python.usage import Options, UsageError

from ..errors import InvalidArgument, NotSupported
from ..server.tracing import Tracing, checkField


def checkTracing(options: Options) -> None:
    """
    Check C{--request-id}, C{--trace}, C{--fresh-ids} and C{--otel}.

    @raise UsageError: they can't be honoured.
    """
    field = options["request-id"]
    options["tracing"] = field is not None or bool(options["trace"]) or bool(options["otel"])
    if field is not None:
        try:
            checkField(field)
        except InvalidArgument as error:
            raise UsageError(f"--request-id: {error}") from None
    if options["fresh-ids"] and not options["tracing"]:
        raise UsageError("--fresh-ids: without --request-id, --trace or --otel there are none")
    if options["otel"]:
        from ..contrib.otel import needOtel

        try:
            needOtel()
        except NotSupported as error:
            raise UsageError(f"--otel: {error}") from None


def tracingOf(options: Options) -> Tracing | None:
    """
    Return what gives requests ids and traces; L{None}: nothing does.
    """
    if not options.get("tracing"):
        return None
    field, fresh = options["request-id"], bool(options["fresh-ids"])
    if options["otel"]:
        from ..contrib.otel import OtelTracing

        return OtelTracing(requestId=field, fresh=fresh)
    return Tracing(requestId=field, trace=bool(options["trace"]), fresh=fresh)
