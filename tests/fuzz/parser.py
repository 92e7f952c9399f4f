"""
A coverage-guided fuzz target for wasinet_twisted.http.

    python -m tests.fuzz.parser [--seconds 60] [corpusDir]

Stops by itself, with status 0 if nothing was found. What is found is printed;
L{tests.fuzz.oracle} says what counts. The inputs that reach something new are
kept in C{corpusDir}, which is filled with valid messages if it is empty.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Longer inputs find nothing that shorter ones don't, and take their time.
_LONGEST = 512

_WORDS = (
    b"\r\n", b"\r\n\r\n", b"\r\n ", b"\r\n0\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.9", b"HTTP/2.0", b"GET",
    b"POST", b"CONNECT", b"OPTIONS", b"HEAD", b" / ", b" * ", b"http://", b"Host", b"Content-Length",
    b"Transfer-Encoding", b"chunked", b"gzip", b"identity", b"Connection", b"Upgrade", b"Trailer", b"Set-Cookie",
    b"Authorization", b": ", b", ", b";a=b", b';a="b"', b"\\", b" 200 OK", b" 101 ", b" 204 ", b" 304 ", b" 100 ",
    b"\x00", b"\x7f", b"\x80", b"\xff", b"[::1]:80", b"%41", b"ffffffffffffffff", b"9223372036854775807",
)  # fmt: skip


def seeds() -> list[bytes]:
    """
    Valid messages of all kinds, as files of a corpus.
    """
    from tests.http.generator import Generator

    from .oracle import Input

    found = []
    for number, case in enumerate(Generator(1, damage=0).cases(400)):
        given = Input(case.role, case.method, case.eof, number % 8 == 0, number % 2 == 0, case.data)
        if len(case.data) < _LONGEST and _isValid(given):
            found.append(given.encode())
    return found


def _isValid(given: Any) -> bool:
    """
    Does the parser find nothing wrong with this?
    """
    from wasinet_twisted.http import Buffer, RemoteProtocolError

    buffer = Buffer(given.role)
    if given.role == "response":
        buffer.expectResponse(given.method)
    buffer.append(given.data)
    try:
        while buffer.nextEvent() is not None:
            pass
    except RemoteProtocolError:
        return False
    return True


def fill(corpus: Path, raw: list[bytes]) -> None:
    """
    Write files, named by what they hold.
    """
    corpus.mkdir(parents=True, exist_ok=True)
    for one in raw:
        (corpus / hashlib.sha1(one).hexdigest()[:16]).write_bytes(one)


def fuzz(seconds: int, corpus: Path, scratch: Path) -> None:
    """
    Never returns: libFuzzer ends the process.
    """
    import atheris

    with atheris.instrument_imports(include=["wasinet_twisted.http"], enable_loader_override=False):
        from .oracle import judge

    def target(raw: bytes) -> None:
        try:
            judge(raw)
        except BaseException:
            print(f"\nfound by {raw!r}", file=sys.stderr, flush=True)
            raise

    if not any(corpus.iterdir()):
        fill(corpus, seeds())
    atheris.Setup([sys.argv[0], *options(seconds, scratch), str(corpus)], target)
    atheris.Fuzz()


def options(seconds: int, scratch: Path) -> list[str]:
    """
    What libFuzzer is told.
    """
    words = scratch / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in _WORDS))
    # A slow input is a finding too: none of this length may take a second, let alone ten.
    return [
        f"-max_total_time={seconds}",
        f"-max_len={_LONGEST}",
        f"-dict={words}",
        "-timeout=10",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={tempfile.gettempdir()}/",
    ]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.parser", description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long (%(default)s)")
    parser.add_argument("corpusDir", nargs="?", type=Path, help="where inputs are read and kept (a temporary one)")
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("atheris is missing: pip install 'wasinet_twisted[fuzz]'", file=sys.stderr)
        return 2
    if given.scratch is not None:
        fuzz(given.seconds, given.corpusDir, given.scratch)
    # libFuzzer ends its process without cleaning up, so it gets one of its own.
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        corpus = given.corpusDir or scratch / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        command: list[Any] = [sys.executable, "-m", "tests.fuzz.parser", "--seconds", str(given.seconds)]
        return subprocess.run([*command, "--scratch", scratch, corpus], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
