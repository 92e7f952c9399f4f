"""
C{wasinet get -o FILE}: what an interrupted transfer leaves, and how C{--resume} goes on with it.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.processes import PATIENCE, waitUntil
from wasinet_twisted.command.transferring.resuming import CantResume, Part, load, partOf, restOf

from .origin import CONTENT, OLD, TAG, Answer, Handler, file, hello, origin, packed
from .support import started, wasinet

STOP = 300_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def beside(path: Path) -> Path:
    return path.with_name(path.name + ".wasinet")


def interrupt(url: str, path: Path, number: signal.Signals = signal.SIGINT) -> str:
    """
    Fetch until the server stands still, and end it then.

    @return: what it has said.
    """
    with started("get", url, "-o", str(path)) as process:
        waitUntil(lambda: path.exists() and path.stat().st_size == STOP, "the first part")
        process.send_signal(number)
        assert process.wait(PATIENCE) == -number
        assert process.stderr is not None
        return process.stderr.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(path: Path, number: signal.Signals) -> None:
    """
    However it ended, it goes on from there, and nothing is left beside the file.
    """
    with origin(big=file(stop=STOP)) as server:
        url = f"{server.url}/big"
        said = interrupt(url, path, number)
        if number == signal.SIGKILL:
            assert said == ""
        else:
            assert said == (
                f"wasinet get: interrupted; 293.0 KiB of 976.6 KiB are in {path}, and --resume goes on from there\n"
            )
        assert path.read_bytes() == CONTENT[:STOP]
        assert json.loads(beside(path).read_bytes()) == {"url": url, "validator": TAG}
        assert stat.S_IMODE(beside(path).stat().st_mode) == 0o600
        assert wasinet("get", url, "-o", str(path), "--resume") == (0, b"", "")
        assert path.read_bytes() == CONTENT
        assert not beside(path).exists()
        fields = server.fieldsOf(1)
        assert (fields["Range"], fields["If-Range"]) == (f"bytes={STOP}-", TAG)
        assert fields["Accept-Encoding"] == "identity"


def test_cut(path: Path) -> None:
    """
    A connection that breaks leaves the same; and so does one that breaks again.
    """
    with origin(big=file(stop=STOP, cut=True)) as server:
        url = f"{server.url}/big"
        status, _, errors = wasinet("get", url, "-o", str(path))
        assert status == 18
        first, second = errors.splitlines()
        assert first == f"wasinet get: the stream ended inside a body after {STOP} of {len(CONTENT)} bytes"
        assert second == f"wasinet get: 293.0 KiB of 976.6 KiB are in {path}, and --resume goes on from there"
        server.answers["/big"] = file(stop=STOP, cut=True)
        assert wasinet("get", url, "-o", str(path), "--resume")[0] == 18
        assert path.read_bytes() == CONTENT[: 2 * STOP]
        assert wasinet("get", url, "-o", str(path), "--resume")[0] == 0
        assert path.read_bytes() == CONTENT


def test_byDate(path: Path) -> None:
    with origin(big=file(fields={"Last-Modified": OLD}, stop=STOP)) as server:
        url = f"{server.url}/big"
        interrupt(url, path)
        assert wasinet("get", url, "-o", str(path), "--resume")[0] == 0
        assert server.fieldsOf(1)["If-Range"] == OLD
        assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("fields", [{}, {"ETag": f"W/{TAG}"}, {"Last-Modified": "yesterday"}], ids=str)
def test_noVersion(fields: dict[str, str], path: Path) -> None:
    """
    Where the server tells no version, nobody goes on: the two parts might not fit.
    """
    with origin(big=file(fields=fields, stop=STOP)) as server:
        url = f"{server.url}/big"
        assert interrupt(url, path) == (
            f"wasinet get: interrupted; 293.0 KiB of 976.6 KiB are in {path}; "
            "the server has told no version that one could go on with\n"
        )
        assert not beside(path).exists()
        status, _, errors = wasinet("get", url, "-o", str(path), "--resume")
        assert (status, errors) == (
            33,
            f"wasinet get: nothing beside {path} tells of which version it is a part; remove it to start anew\n",
        )
        assert path.read_bytes() == CONTENT[:STOP]


def test_changed(path: Path) -> None:
    """
    Another version meanwhile: all of it comes, and the part is forgotten.
    """
    with origin(big=file(stop=STOP)) as server:
        url = f"{server.url}/big"
        interrupt(url, path)
        server.answers["/big"] = file(b"shorter", {"ETag": '"version-2"'})
        assert wasinet("get", url, "-o", str(path), "--resume") == (0, b"", "")
        assert path.read_bytes() == b"shorter"
        assert not beside(path).exists()


def test_completeAlready(path: Path) -> None:
    """
    There is nothing left: done, with or without something beside the file. A longer file is no part.
    """
    with origin(big=file()) as server:
        url = f"{server.url}/big"
        for content, kept, status in ((CONTENT, True, 0), (CONTENT, False, 0), (CONTENT + b"x", True, 33)):
            path.write_bytes(content)
            if kept:
                Part(url, TAG).save(str(path))
            assert wasinet("get", url, "-o", str(path), "--resume")[0] == status
            assert path.read_bytes() == content
            assert beside(path).exists() == (status != 0)


def test_nothingThereYet(path: Path) -> None:
    with origin(big=file()) as server:
        for _ in range(2):
            assert wasinet("get", f"{server.url}/big", "-o", str(path), "--resume") == (0, b"", "")
            assert path.read_bytes() == CONTENT
            path.write_bytes(b"")
        assert [each.headers["Range"] for each in server.requests] == [None, None]


def test_anotherUrl(path: Path) -> None:
    with origin(big=file(stop=STOP), other=file()) as server:
        interrupt(f"{server.url}/big", path)
        status, _, errors = wasinet("get", f"{server.url}/other", "-o", str(path), "--resume")
        assert (status, len(server.requests)) == (33, 1)
        assert errors == f"wasinet get: {path} is a part of {server.url}/big; remove it to start anew\n"


def test_noRanges(path: Path) -> None:
    """
    A server that knows no ranges sends all of it: taken instead of a part, but not instead of what may be the user's.
    """
    with origin(big=file(ranges=False, stop=STOP)) as server:
        url = f"{server.url}/big"
        interrupt(url, path)
        assert wasinet("get", url, "-o", str(path), "--resume")[0] == 0
        assert path.read_bytes() == CONTENT
        path.write_bytes(b"mine")
        assert wasinet("get", url, "-o", str(path), "--resume")[0] == 33
        assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("status", [404, 500, 302])
def test_errors(status: int, path: Path) -> None:
    """
    No page about an error is appended, or put in the part's place.
    """
    path.write_bytes(CONTENT[:STOP])
    with origin(big=lambda handler: handler.reply(status, b"an error")) as server:
        url = f"{server.url}/big"
        Part(url, TAG).save(str(path))
        code, _, errors = wasinet("get", url, "-o", str(path), "--resume")
        assert (code, errors.count("\n")) == (33, 1)
        assert f"/big: {status} " in errors
        assert path.read_bytes() == CONTENT[:STOP]
        assert beside(path).exists()


def answering(status: int = 206, body: bytes = b"0123456789", **fields: str) -> Answer:
    return lambda handler: handler.reply(
        status, body, {name.replace("_", "-"): value for name, value in fields.items()}
    )


@pytest.mark.parametrize(
    "answer",
    [
        answering(),
        answering(Content_Range="bytes 6-15/20"),
        answering(Content_Range="bytes 4-13/20"),
        answering(Content_Range="bytes 5-13/20"),
        answering(Content_Range="bytes 5-14/14"),
        answering(Content_Range="bytes 5-4/20"),
        answering(Content_Range="bytes */20"),
        answering(Content_Range="bytes 5-14/20, bytes 5-14/20"),
        answering(Content_Range="pages 5-14/20"),
        answering(Content_Range="bytes 5-14/20", Content_Encoding="gzip"),
        answering(Content_Range="bytes 5-14/20", ETag='"version-2"'),
        answering(Content_Type="multipart/byteranges; boundary=x"),
    ],
    ids=str,
)
def test_partsThatDontFit(answer: Answer, path: Path) -> None:
    """
    The file stays as it was.
    """
    path.write_bytes(b"first")
    with origin(big=answer) as server:
        url = f"{server.url}/big"
        Part(url, TAG).save(str(path))
        assert wasinet("get", url, "-o", str(path), "--resume")[0] == 33
        assert path.read_bytes() == b"first"


def test_lessThanAsked(path: Path) -> None:
    """
    A server may send some of what is missing: then it goes on again.
    """

    def some(handler: Handler) -> None:
        first = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        last = min(first + 3, 9)
        handler.reply(206, b"0123456789"[first : last + 1], {"Content-Range": f"bytes {first}-{last}/10", "ETag": TAG})

    path.write_bytes(b"012")
    with origin(big=some) as server:
        url = f"{server.url}/big"
        Part(url, TAG).save(str(path))
        status, _, errors = wasinet("get", url, "-o", str(path), "--resume")
        assert (status, path.read_bytes()) == (18, b"0123456")
        assert errors.endswith(f"7 bytes of 10 bytes are in {path}, and --resume goes on from there\n")
        assert wasinet("get", url, "-o", str(path), "--resume") == (0, b"", "")
        assert path.read_bytes() == b"0123456789"


def test_compressed(path: Path) -> None:
    """
    Of what was decoded no part can be asked for, and none is kept.
    """
    with origin(a=packed) as server:
        path.write_bytes(b"first")
        Part(f"{server.url}/a", TAG).save(str(path))
        assert wasinet("get", f"{server.url}/a", "-o", str(path), "--compressed")[0] == 0
        assert path.read_bytes() == b"hello\n"
        assert not beside(path).exists()


def test_whatIsNoFile(tmp_path: Path) -> None:
    """
    A device and a named pipe are written as they are, with nothing beside them.
    """
    with origin(a=file(b"hello\n")) as server:
        assert wasinet("get", f"{server.url}/a", "-o", "/dev/null") == (0, b"", "")
        assert not os.path.exists("/dev/null.wasinet")
        assert wasinet("get", f"{server.url}/a", "-o", "/dev/null", "--resume")[0] == 33
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
        reader.start()
        assert wasinet("get", f"{server.url}/a", "-o", str(fifo)) == (0, b"", "")
        reader.join(PATIENCE)
        assert got == [b"hello\n"]
        assert os.listdir(tmp_path) == ["fifo"]


def test_overwrites(path: Path) -> None:
    """
    A longer file that was there is gone; who may read it stays so.
    """
    path.write_bytes(bytes(1000))
    path.chmod(0o600)
    with origin(a=hello) as server:
        assert wasinet("get", f"{server.url}/a", "-o", str(path))[0] == 0
    assert path.read_bytes() == b"hello\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"url": "x"}', b'{"url": "x", "validator": 1}', b"\xff", b"[" * 5000, b'"' + b"x" * 70_000],
    ids=lambda each: repr(each[:30]),
)
def test_somebodyElsesFile(content: bytes, path: Path) -> None:
    beside(path).write_bytes(content)
    with pytest.raises(CantResume):
        load(str(path))


def test_versions() -> None:
    """
    A strong ETag before a date; a date only if the resource can't have changed again in the same second.
    """
    date: dict[str, Any] = {"Date": "Sun, 09 Sep 2001 01:46:41 GMT"}
    for fields, expected in (
        ({"ETag": TAG, "Last-Modified": OLD}, TAG),
        ({"ETag": f"W/{TAG}", "Last-Modified": OLD, **date}, OLD),
        ({"Last-Modified": OLD, "Date": OLD}, None),
        ({"Last-Modified": OLD}, None),
        ({"ETag": '"' + "x" * 70_000 + '"'}, None),
        ({"ETag": '"a"b"'}, None),
        ({}, None),
    ):
        part = partOf("http://x/", fields)
        assert (part and part.validator) == expected, fields


def test_restOf() -> None:
    part = Part("http://x/", TAG)
    assert restOf({"Content-Range": "bytes 5-14/20"}, 5, part) == (10, 20)
    assert restOf({"Content-Range": "Bytes 5-14/*", "Content-Length": "10", "ETag": TAG}, 5, part) == (10, None)
    assert restOf({"Content-Range": "bytes 5-14/15", "ETag": '"x"'}, 5, Part("http://x/", OLD)) == (10, 15)
