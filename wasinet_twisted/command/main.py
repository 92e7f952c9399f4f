"""
The beginning and the end of C{wasinet}.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from importlib import import_module

from ..errors import WasinetError
from .ending import Interrupted, OutputFailed, discardOutput, endBy, flush, leave, say
from .parsers import makeParser


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command. A signal that has ended it ends the process as well.

    @param arguments: those of the process by default.
    @return: the exit status.
    @raise SystemExit: the arguments are wrong, or ask for help.
    """
    name = "wasinet"
    try:
        try:
            parsed = makeParser().parse_args(arguments)
            name = f"wasinet {parsed.command}"
            status: int = import_module(f"{__package__}.{parsed.module}").run(parsed)
        finally:
            flush()
    except KeyboardInterrupt:
        return endBy(signal.SIGINT)
    except Interrupted as error:
        return endBy(error.number)
    except BrokenPipeError:
        # As any other program of a pipeline whose reader has gone.
        return endBy(signal.SIGPIPE)
    except (WasinetError, OutputFailed) as error:
        status = _fail(name, error)
    except ImportError as error:
        # Some of what a subcommand imports is refused by WASINET_SPEED or WASINET_FAST.
        if error.name not in ("wasinet_twisted._fast", "wasinet_twisted._speed"):
            raise
        status = _fail(name, error)
    return leave(status)


def _fail(name: str, error: Exception) -> int:
    """
    Say in one line what has failed.

    @return: the exit status for that.
    """
    # Late: who asks for help needs none.
    from .exitcodes import WRITE_ERROR, statusOf

    say(name, " ".join(str(error).split()))
    if isinstance(error, OutputFailed):
        discardOutput()
        return WRITE_ERROR
    return statusOf(error)
