"""
Autobahn's own case files against our server and our client, by Kosoku.

    python -m tests.websocket.autobahn                          # all 517 cases, against both; some ten minutes
    python -m tests.websocket.autobahn --cases '7.*' '10.*'     # some
    python -m tests.websocket.autobahn --markdown docs/websocket.md

The status is 1 if there is a case that neither passes nor stands in L{KNOWN}.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.processes import ROOT

# How long one role may take, in seconds.
PATIENCE = 1800.0
# The page's table stands between these.
BEGIN, END = "<!-- autobahn -->\n", "<!-- end of autobahn -->\n"

# What is not OK, and why: by the case, or by a group, with a dot. NON-STRICT passes; UNIMPLEMENTED was not run.
_HINT = (
    "client, not run: Autobahn asks for client_no_context_takeover only of clients that offer it; ours doesn't, as "
    "browsers don't, and does as the server asks all the same (RFC 7692 section 7.1.1.2)"
)
KNOWN = {
    "6.4.3": "text that is no UTF-8 is refused when its frame is complete, not in the middle of a frame",
    "6.4.4": "as 6.4.3, cut elsewhere",
    "13.2.": _HINT,
    "13.5.": "as 13.2",
    "13.6.": "as 13.2",
}
# How many cases run at a time: some wait for seconds, and others have a deadline and need a core for themselves.
QUICKLY, TOGETHER = 8, 2
# The first numbers of the cases, and what they are about.
ABOUT = {
    "1": "messages",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragments",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and performance",
    "10": "miscellaneous",
    "12": "permessage-deflate",
    "13": "permessage-deflate, parameters",
}
_PASSED = ("OK", "INFORMATIONAL", "NON-STRICT")


@dataclass(frozen=True)
class Result:
    """
    What became of one case.

    @ivar behavior: of its messages: OK, NON-STRICT, INFORMATIONAL, or what is none of these.
    @ivar closing: the same of its end.
    """

    case: str
    behavior: str
    closing: str
    said: str

    @property
    def passed(self) -> bool:
        """
        Is it as the RFC has it?
        """
        return self.behavior in _PASSED and self.closing in _PASSED

    @property
    def strictly(self) -> bool:
        """
        Is nothing to be explained?
        """
        return self.passed and "NON-STRICT" not in (self.behavior, self.closing)


@contextmanager
def _child(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", f"tests.websocket.{module}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, f"{process.args!r} has printed nothing"
    return line


def _results(process: subprocess.Popen[str]) -> list[Result]:
    output, _ = process.communicate(timeout=PATIENCE)
    return [Result(*json.loads(line)) for line in output.splitlines()]


def ofServer(cases: Sequence[str], together: int = QUICKLY) -> list[Result]:
    """
    Run cases against our server.
    """
    with (
        _child("echo", "serve") as server,
        _child("kosokucase", "server", _line(server), str(together), *cases) as fuzzing,
    ):
        return _results(fuzzing)


def ofClient(cases: Sequence[str], together: int = QUICKLY) -> list[Result]:
    """
    Run cases against our client.
    """
    with _child("kosokucase", "client", *cases) as fuzzing, _child("echo", "ask", _line(fuzzing), str(together)):
        return _results(fuzzing)


def known(result: Result) -> str | None:
    """
    Return the key of what explains a result, L{None} if nothing does.
    """
    group = result.case.rpartition(".")[0] + "."
    return next((key for key in (result.case, group) if key in KNOWN), None)


def unexplained(results: Sequence[Result]) -> list[Result]:
    """
    Return what neither is OK nor stands in L{KNOWN}.
    """
    return [
        each
        for each in results
        if not (each.strictly or ((each.passed or each.behavior == "UNIMPLEMENTED") and known(each)))
    ]


def table(server: Sequence[Result], client: Sequence[Result]) -> str:
    """
    Return the page's table.
    """
    counts = {role: Counter(_group(each) for each in results) for role, results in (("s", server), ("c", client))}
    passed = {
        role: Counter(_group(each) for each in results if each.passed)
        for role, results in (("s", server), ("c", client))
    }
    lines = [
        f"Kosoku {version('kosoku')}, websockets {version('websockets')}:",
        "",
        "| cases | about | server | client |",
        "| --- | --- | ---: | ---: |",
    ]
    for group, about in ABOUT.items():
        if counts["s"][group] or counts["c"][group]:
            cells = [f"{passed[role][group]} of {counts[role][group]}" for role in ("s", "c")]
            lines.append(f"| {group}.* | {about} | {cells[0]} | {cells[1]} |")
    total = [f"{sum(passed[role].values())} of {sum(counts[role].values())}" for role in ("s", "c")]
    lines.append(f"| all | | {total[0]} | {total[1]} |")
    differing = {known(each) or each.case for each in (*server, *client) if not each.strictly}
    if differing:
        lines += ["", "What is not strictly as Autobahn would have it:", ""]
        lines += [
            f"- {case.rstrip('.')}: {KNOWN.get(case, 'not explained')}" for case in sorted(differing, key=_inOrder)
        ]
    return "\n".join(lines) + "\n"


def _group(result: Result) -> str:
    return result.case.partition(".")[0]


def _inOrder(case: str) -> list[int]:
    return [int(part) for part in case.split(".") if part]


def main() -> int:
    """
    As the module has it.
    """
    parser = argparse.ArgumentParser(description="Autobahn's cases against our server and our client.")
    parser.add_argument("--cases", nargs="*", default=[], metavar="CASE", help="some only, such as '7.*'")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table into a page")
    arguments = parser.parse_args()
    server, client = ofServer(arguments.cases, TOGETHER), ofClient(arguments.cases, TOGETHER)
    text = table(server, client)
    print(text)
    if arguments.markdown is not None:
        page = arguments.markdown.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        arguments.markdown.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    wrong = unexplained([*server, *client])
    for each in wrong:
        print(f"{each.case}: {each.behavior}, {each.closing}: {each.said}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
