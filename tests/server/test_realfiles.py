"""
Files as curl gets them from a real server: whole, in parts, and going on after a break.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.processes import PATIENCE
from tests.support import needsTool
from wasinet_twisted.server import HttpServer, files, serve

SIZE = 3_000_001


@pytest.fixture
def site(tmp_path: Path) -> Path:
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "big.bin").write_bytes(os.urandom(SIZE))
    os.utime(directory / "big.bin", (1e9, 1e9))
    (directory / "sub").mkdir()
    (directory / "sub" / "index.html").write_text("<p>index")
    (tmp_path / "secret.txt").write_text("secret")
    return directory


@pytest.fixture
def server(site: Path) -> Iterator[HttpServer]:
    server = serve(files(site), "tcp:0:interface=127.0.0.1")
    yield server
    pytest_twisted.blockon(server.drain())


class Curl:
    """
    @ivar url: of the server's root.
    """

    def __init__(self, server: HttpServer, directory: Path) -> None:
        self._curl = needsTool("curl")
        self.url = f"http://127.0.0.1:{server.local().port}"
        self._directory = directory

    async def run(self, path: str, *options: str) -> tuple[int, bytes]:
        """
        @return: curl's exit status and output.
        """
        command = [self._curl, "-sS", "--path-as-is", *options, self.url + path]
        done = await deferToThread(
            subprocess.run, command, cwd=self._directory, capture_output=True, timeout=PATIENCE, check=False
        )
        return done.returncode, done.stdout


@pytest.fixture
def curl(server: HttpServer, tmp_path: Path) -> Curl:
    return Curl(server, tmp_path)


@pytest_twisted.ensureDeferred
async def test_whole(curl: Curl, site: Path) -> None:
    assert await curl.run("/big.bin") == (0, (site / "big.bin").read_bytes())
    assert await curl.run("/big.bin", "--http1.0") == (0, (site / "big.bin").read_bytes())
    status, head = await curl.run("/big.bin", "--head")
    assert status == 0
    assert f"Content-Length: {SIZE}\r\n".encode() in head


@pytest_twisted.ensureDeferred
async def test_ranges(curl: Curl, site: Path) -> None:
    data = (site / "big.bin").read_bytes()
    for value, part in {
        "0-99": data[:100],
        "100-": data[100:],
        "-100": data[-100:],
        "2999999-9999999": data[-2:],
    }.items():
        assert await curl.run("/big.bin", "-r", value) == (0, part)
    assert (await curl.run("/big.bin", "-f", "-r", f"{SIZE}-"))[0] == 22
    _, several = await curl.run("/big.bin", "-r", "0-0,2-3")
    assert several.count(b"Content-Range: bytes ") == 2


@pytest_twisted.ensureDeferred
async def test_goesOn(curl: Curl, site: Path, tmp_path: Path) -> None:
    """
    C{-C -} asks for what is missing; of a whole file, for nothing.
    """
    data = (site / "big.bin").read_bytes()
    got = tmp_path / "got"
    for begun in (0, 1, SIZE // 2, SIZE - 1):
        got.write_bytes(data[:begun])
        assert (await curl.run("/big.bin", "-C", "-", "-o", str(got)))[0] == 0
        assert got.read_bytes() == data
    await curl.run("/big.bin", "-C", "-", "-o", str(got))
    assert got.read_bytes() == data


@pytest_twisted.ensureDeferred
async def test_goesOnOnlyWithTheSame(curl: Curl, site: Path) -> None:
    """
    If-Range, by what curl itself has kept: the entity tag, or the date.
    """
    data = (site / "big.bin").read_bytes()
    await curl.run("/big.bin", "--etag-save", "etag", "-o", "/dev/null")
    _, head = await curl.run("/big.bin", "--head")
    etag = next(line for line in head.decode().splitlines() if line.startswith("ETag: ")).removeprefix("ETag: ")
    date = next(line for line in head.decode().splitlines() if line.startswith("Last-Modified: "))
    for validator in (etag, date.removeprefix("Last-Modified: ")):
        assert await curl.run("/big.bin", "-r", "5-6", "-H", f"If-Range: {validator}") == (0, data[5:7])
    assert await curl.run("/big.bin", "--etag-compare", "etag", "-w", "%{http_code}") == (0, b"304")
    assert await curl.run("/big.bin", "-z", "@1000000000", "-w", "%{http_code}") in ((0, b"304"), (0, data + b"200"))
    (site / "big.bin").write_bytes(data[::-1])
    for validator in (etag, date.removeprefix("Last-Modified: ")):
        assert await curl.run("/big.bin", "-r", "5-6", "-H", f"If-Range: {validator}") == (0, data[::-1])


@pytest_twisted.ensureDeferred
async def test_paths(curl: Curl) -> None:
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/sub/../../secret.txt", "/..%2fsecret.txt", "//secret.txt"):
        status, body = await curl.run(path)
        assert (status, b"secret" in body) == (0, False)
    assert await curl.run("/sub", "-L") == (0, b"<p>index")
    status, page = await curl.run("/")
    assert b'href="./big.bin"' in page


@pytest_twisted.ensureDeferred
async def test_shorterMeanwhile(curl: Curl, site: Path, loggedErrors: Callable[[], list[str]]) -> None:
    """
    What curl has got is not taken for the whole.
    """
    path = site / "big.bin"

    with pytest.MonkeyPatch.context() as patch:
        pread = os.pread

        def read(descriptor: int, size: int, at: int) -> bytes:
            if at > SIZE // 2:
                os.truncate(path, SIZE // 2)
            return pread(descriptor, size, at)

        patch.setattr(os, "pread", read)
        status, _ = await curl.run("/big.bin")
    assert status in (18, 56)
    assert len(loggedErrors()) == 1
