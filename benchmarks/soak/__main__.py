"""
A long run of mixed traffic, honest and hostile, while workers are replaced and killed and certificates renewed.

    python -m benchmarks.soak [--seconds 1200 | --quick] [--command wasinet-asgi] [--seed N]
                              [--json FILE] [--plot FILE] [--markdown FILE] [--keep DIRECTORY]

C{twistd wasinet-http --workers 2} serves an app of this package, plain and by TLS.
The clients come at fixed, moderate rates, so that each machine does the same work.
Honest ones: kept connections and C{Connection: close}, GETs, POSTs of all sizes with
a fixed length and chunked, streams, WebSockets, slow readers. Each answer is compared,
byte for byte; after a renewal, the certificate too. Others vanish in the middle, by
FIN and RST, and hostile ones send malformed and oversized heads, shapes that smuggle
requests, bytes one by one (slowloris), nothing at all, frames that break the rules,
and what is no TLS.

In the middle of the time, workers are replaced (SIGHUP, each time with the access log
rotated, often with a new certificate) and killed (-9). In its first and last part they
are left alone.

The verdict: nothing grows, nothing is lost. It rests on no time that anything takes.
Lost may be what was open to a killed worker: that one is stopped, its connections are
listed, then it is killed. The exit status is 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import command
from benchmarks.command import say

from .chart import draw
from .judging import verdicts
from .report import page, reportOf, summary
from .run import WORKERS, run
from .service import COMMANDS, serving

QUICK = 120.0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """
    What the command was given.
    """
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description="Mixed traffic, honest and hostile, for long."
    )
    options.add_argument("--seconds", type=float, default=1200.0, help="how long (%(default)g)")
    options.add_argument(
        "--quick", dest="seconds", action="store_const", const=QUICK, help=f"the same as --seconds {QUICK:g}"
    )
    options.add_argument("--command", choices=COMMANDS, default=COMMANDS[0], help="what serves (%(default)s)")
    options.add_argument("--seed", type=int, default=1, help="of what the clients do (%(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options.add_argument("--plot", type=Path, metavar="FILE", help="draw a chart (.png, .svg); needs matplotlib")
    options.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page")
    options.add_argument("--keep", type=Path, metavar="DIRECTORY", help="keep the server's logs there")
    given = options.parse_args(arguments)
    if given.seconds < 20:
        options.error("--seconds must be at least 20")
    return given


def main(arguments: Sequence[str]) -> int:
    """
    The command.

    @return: its exit status.
    """
    given = parse(arguments)
    if not sys.platform.startswith("linux"):
        say("this needs Linux: /proc")
        return 1
    if (missing := command.undrawable(given)) is not None:
        say(missing)
        return 1
    command.raiseDescriptors()

    def work() -> int:
        with ExitStack() as stack:
            if given.keep is None:
                folder = Path(stack.enter_context(TemporaryDirectory()))
            else:
                folder = given.keep.resolve()
                folder.mkdir(parents=True)
            with serving(folder, given.command, WORKERS) as service:
                soak = run(service, given.seconds, given.seed)
                status = service.end()
            judged = verdicts(soak, status, service.logs, service.output, given.seconds)
        report = reportOf(soak, judged, given, arguments)
        print("\n".join(summary(report)))
        command.write(given, report, page, draw)
        return 0 if all(each.holds for each in judged) else 1

    return command.endingWell(work)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
