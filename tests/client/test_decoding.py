"""
Content codings: what they decode to, however it was cut, and what is not decoded.
"""

from __future__ import annotations

import gzip
import os
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import more
from wasinet_twisted.client import codings
from wasinet_twisted.client.decoding import Decoder, DecodingLimits, acceptEncoding, decoderFor
from wasinet_twisted.errors import ContentError, IncompleteRead, InvalidArgument, MessageTooLarge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.reactorless

usual = settings(deadline=None, database=None, derandomize=True, max_examples=more(200, 30))

Encode = Callable[[bytes], bytes]

MIB = 1024 * 1024
PIECE = 256 * 1024
SKIPPED = struct.pack("<II", 0x184D2A50, 3) + b"abc"


def rawDeflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-15)
    return encoder.compress(data) + encoder.flush()


def quickBrotli(data: bytes) -> bytes:
    return brotli.compress(data, quality=5)


# As Content-Encoding names it, and by which encoder.
ENCODERS: list[tuple[str, Encode]] = [
    ("gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", rawDeflate),
    ("br", quickBrotli),
    ("zstd", zstd.compress),
]
# pytest-twisted runs no test that is both Hypothesis's and parametrized.
anyCoding = st.sampled_from(ENCODERS)
everyCoding = pytest.mark.parametrize(("name", "encode"), ENCODERS, ids=["gzip", "zlib", "raw", "br", "zstd"])


def made(name: str, **limits: Any) -> Decoder:
    decoder = decoderFor(name, DecodingLimits(**limits))
    assert decoder is not None
    return decoder


def decoded(name: str, *pieces: bytes, **limits: Any) -> bytes:
    """
    What these pieces decode to, all of them and nothing else.
    """
    decoder = made(name, **limits)
    out = b"".join(piece for data in pieces for piece in decoder.decode(data))
    decoder.end()
    assert decoder.decoded == len(out)
    assert decoder.coded == sum(map(len, pieces))
    return out


def feed(decoder: Decoder, *pieces: bytes, sizes: list[int] | None = None) -> list[int]:
    """
    Decode all of a body, and see that no piece is too large.

    @param sizes: takes the sizes of the decoded pieces, also where an error ends it.
    """
    sizes = [] if sizes is None else sizes
    for data in pieces:
        for piece in decoder.decode(data):
            assert 0 < len(piece) <= PIECE
            sizes.append(len(piece))
    decoder.end()
    return sizes


def single(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def bomb(name: str, size: int) -> bytes:
    """
    Zeros, packed as tight as it goes.
    """
    zeros = bytes(size)
    return {"gzip": gzip.compress, "deflate": zlib.compress, "br": quickBrotli, "zstd": zstd.compress}[name](zeros)


# Round trips

BODIES = [b"", b"a", b"hello" * 10, b"{}" * 5000, bytes(300_000), random.Random(1).randbytes(100_000)]


@everyCoding
@pytest.mark.parametrize("body", BODIES, ids=[f"{len(body)}" for body in BODIES])
def test_whole(name: str, encode: Encode, body: bytes) -> None:
    assert decoded(name, encode(body)) == body


@everyCoding
def test_byteByByte(name: str, encode: Encode) -> None:
    body = os.urandom(500) + bytes(200_000) + os.urandom(500)
    assert decoded(name, *single(encode(body))) == body


@everyCoding
def test_bodiesThatFillAPiece(name: str, encode: Encode) -> None:
    """
    The end may be all that is left, and wait inside the decoder.
    """
    for size in [*range(PIECE - 2, PIECE + 3), *range(PIECE, PIECE + 600, 25), 2 * PIECE, 32_752, 98_272]:
        for body in (bytes(size), b"ab" * (size // 2)):
            assert decoded(name, encode(body), ratio=1e9) == body


@usual
@given(
    anyCoding,
    st.lists(
        st.one_of(
            st.binary(max_size=60), st.builds(lambda byte, n: byte * n, st.binary(max_size=3), st.integers(0, 100_000))
        )
    ),
    st.lists(st.integers(0, 2000)),
)
def test_howeverItIsCut(coding: tuple[str, Any], parts: list[bytes], cuts: list[int]) -> None:
    name, encode = coding
    body = b"".join(parts)
    coded = encode(body)
    at = [0, *sorted(cut % (len(coded) + 1) for cut in cuts), len(coded)]
    pieces = [coded[start:end] for start, end in pairwise(at)]
    assert decoded(name, *pieces, ratio=1e9) == body


@everyCoding
def test_cutAtEveryByte(name: str, encode: Encode) -> None:
    """
    A prefix of a coded body is never a body, but for the empty one.
    """
    coded = encode(b"hello, hello, hello" + bytes(range(256)))
    for end in range(1, len(coded)):
        decoder = made(name)
        assert len(b"".join(decoder.decode(coded[:end]))) <= 275
        with pytest.raises(IncompleteRead, match=f"the body ended inside its {name} coding"):
            decoder.end()
    made(name).end()


@pytest.mark.parametrize(("name", "encode"), [ENCODERS[0], ENCODERS[4]], ids=["gzip", "zstd"])
def test_members(name: str, encode: Encode) -> None:
    bodies = [b"", b"a" * 300_000, b"", b"bc", b"d"]
    coded = [encode(body) for body in bodies]
    whole = b"".join(bodies)
    assert decoded(name, b"".join(coded)) == whole
    assert decoded(name, *coded) == whole
    assert decoded(name, *single(b"".join(coded))) == whole
    if name == "zstd":
        # RFC 8878 section 3.1.2
        assert decoded(name, SKIPPED + coded[3] + SKIPPED) == b"bc"
        assert decoded(name, *single(SKIPPED + coded[3] + SKIPPED)) == b"bc"
    # The second one, cut at every byte but its first.
    for end in range(1, len(coded[3])):
        decoder = made(name)
        assert b"".join(decoder.decode(coded[4] + coded[3][:end]))[:1] == b"d"
        with pytest.raises(IncompleteRead):
            decoder.end()


@everyCoding
def test_nothingIsNothing(name: str, encode: Encode) -> None:
    assert decoded(name) == decoded(name, b"", b"") == b""


@everyCoding
@pytest.mark.parametrize("garbage", [b"\0", b"x", b"\0" * 30_000, b"garbage", b"\x1f\x8c", b"\x28\xb5\x2f\xfe"])
def test_whatFollowsTheEnd(name: str, encode: Encode, garbage: bytes) -> None:
    """
    It is refused, at once or later, in the same piece or another one.
    """
    coded = encode(b"hello")
    for pieces in ([coded + garbage], [coded, garbage], single(coded + garbage)):
        decoder = made(name)
        with pytest.raises((ContentError, IncompleteRead)) as caught:
            feed(decoder, *pieces)
        # One byte may be the first of another frame: only the end tells.
        assert isinstance(caught.value, ContentError) or len(garbage) < 4


@everyCoding
def test_malformed(name: str, encode: Encode) -> None:
    for coded in (b"\xff" * 100, b"<html>" * 100, bytes([0x78, 0x9C]) + b"\xff" * 100):
        for pieces in ([coded], single(coded)):
            decoder = made(name)
            with pytest.raises(ContentError) as caught:
                feed(decoder, *pieces)
            assert f"the body is not valid {name}" in str(caught.value)
            # It stays so.
            for call in (lambda: list(decoder.decode(b"")), decoder.end):  # noqa: B023
                with pytest.raises(ContentError) as again:
                    call()
                assert again.value is caught.value


@pytest.mark.parametrize(("name", "encode"), ENCODERS[:2], ids=["gzip", "zlib"])
def test_checksums(name: str, encode: Encode) -> None:
    coded = bytearray(encode(b"hello" * 1000))
    coded[-6 if name == "gzip" else -1] ^= 1
    with pytest.raises(ContentError, match=f"not valid {name}"):
        decoded(name, bytes(coded))


@usual
@given(anyCoding, st.binary(max_size=200), st.integers(0, 10_000), st.integers(1, 255))
def test_damaged(coding: tuple[str, Any], body: bytes, at: int, bits: int) -> None:
    """
    Whatever comes, one of our errors or a body; and the same byte by byte.
    """
    name, encode = coding
    coded = bytearray(encode(body))
    coded[at % len(coded)] ^= bits
    found = set()
    for pieces in ([bytes(coded)], single(bytes(coded))):
        try:
            found.add(decoded(name, *pieces))
        except (ContentError, IncompleteRead, MessageTooLarge) as error:
            found.add(type(error))  # type: ignore[arg-type]
    assert len(found) == 1


@usual
@given(st.binary(max_size=300))
def test_rawAndZlib(body: bytes) -> None:
    """
    Which of the two a deflate is tells by its first two bytes.
    """
    for level in (0, 1, 9):
        for wbits in (-9, -15, 9, 15):
            encoder = zlib.compressobj(level, wbits=wbits)
            coded = encoder.compress(body) + encoder.flush()
            assert decoded("deflate", coded) == decoded("deflate", *single(coded)) == body


# Which codings


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, None), ("", None), (" , ", None), ("identity", None), ("Identity, IDENTITY", None), ("gzip", ("gzip",)),
        ("GZip", ("gzip",)), ("x-gzip", ("gzip",)), ("\tgzip ", ("gzip",)), ("identity, br,", ("br",)),
        ("deflate", ("deflate",)), ("zstd", ("zstd",)), ("gzip, br", ("br", "gzip")), ("br,gzip", ("gzip", "br")),
        ("gzip,gzip,gzip", ("gzip",) * 3), ("gzip, identity, br, , zstd", ("zstd", "br", "gzip")),
        # Not known: the whole is left as it is.
        ("compress", None), ("gzip, compress", None), ("dcb, gzip", None), ("aes128gcm", None), ("gzip;q=1", None),
        ("gzip br", None), ("gz\u0131p", None), ("\xa0gzip", None), ("*", None), ("x-br", None), ("gzip\n", None),
    ],
)  # fmt: skip
def test_which(field: str | None, expected: tuple[str, ...] | None) -> None:
    decoder = decoderFor(field)
    assert (None if decoder is None else decoder.codings) == expected


def test_howManyCodings() -> None:
    assert decoderFor("gzip, gzip, gzip") is not None
    with pytest.raises(ContentError, match="at most 3 content codings are decoded, not 4: 'gzip, gzip, gzip, br'"):
        decoderFor("gzip, gzip, gzip, br")
    with pytest.raises(ContentError, match="at most 1 "):
        decoderFor("gzip, br", DecodingLimits(codings=1))
    assert decoderFor("identity, gzip, identity", DecodingLimits(codings=1)) is not None


def test_stacked() -> None:
    body = os.urandom(1000) + bytes(1_000_000)
    coded = zstd.compress(quickBrotli(gzip.compress(body)))
    assert decoded("gzip, br, zstd", coded) == body
    assert decoded("gzip, br, zstd", *single(coded)) == body
    for end in range(1, len(coded)):
        decoder = made("gzip, br, zstd")
        list(decoder.decode(coded[:end]))
        with pytest.raises(IncompleteRead):
            decoder.end()
    # What is inside is cut, too, and what follows it is refused.
    decoder = made("gzip, zstd")
    list(decoder.decode(zstd.compress(gzip.compress(b"hello")[:-1])))
    with pytest.raises(IncompleteRead, match="its gzip coding"):
        decoder.end()
    with pytest.raises(ContentError, match="not valid gzip"):
        decoded("gzip, zstd", zstd.compress(gzip.compress(b"hello") + b"x" * 20))
    with pytest.raises(ContentError, match="more bytes follow the end of the deflate coding"):
        decoded("deflate, gzip", gzip.compress(zlib.compress(b"hello") + b"x"))


def test_acceptEncoding() -> None:
    assert acceptEncoding() == "gzip, deflate, br, zstd"
    assert all(decoderFor(name) is not None for name in acceptEncoding().split(", "))
    assert acceptEncoding() is acceptEncoding()


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("sys.modules['brotli'] = None", "gzip, deflate, zstd"),
        # It can't be bounded before 1.2.
        ("import types; sys.modules['brotli'] = types.SimpleNamespace(Decompressor=object)", "gzip, deflate, zstd"),
        ("sys.modules['backports'] = sys.modules['compression'] = None", "gzip, deflate, br"),
    ],
)
def test_whatIsNotInstalled(missing: str, expected: str) -> None:
    """
    Such a coding is not asked for, and left as it is where it comes all the same.
    """
    program = (
        f"import sys\n{missing}\n"
        "from wasinet_twisted.client.decoding import acceptEncoding, decoderFor\n"
        "print(acceptEncoding())\n"
        "for name in ('gzip', 'deflate', 'br', 'zstd'):\n"
        "    decoder = decoderFor(name)\n"
        "    assert (decoder is not None) is (name in acceptEncoding())\n"
        "try:\n    list(decoderFor('gzip').decode(b'x' * 20))\nexcept ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith(f"{expected}\nthe body is not valid gzip: ")


def test_theyAreImportedLate() -> None:
    program = (
        "import sys, wasinet_twisted.client.decoding\n"
        "print([name for name in ('brotli', 'backports.zstd', 'compression.zstd') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# Bounds


@everyCoding
def test_theDecodedSize(name: str, encode: Encode) -> None:
    body = os.urandom(100_000)
    coded = encode(body)
    for pieces in ([coded], single(coded)):
        assert decoded(name, *pieces, decoded=100_000) == body
        decoder = made(name, decoded=99_999)
        sizes: list[int] = []
        fault = "100000 bytes or more, the bound is 99999 .DecodingLimits.decoded"
        with pytest.raises(MessageTooLarge, match=fault) as caught:
            feed(decoder, *pieces, sizes=sizes)
        assert sum(sizes) <= 99_999
        assert caught.value.statusHint == 413
        with pytest.raises(MessageTooLarge):
            list(decoder.decode(b""))
    assert decoded(name, encode(b""), decoded=0) == b""
    with pytest.raises(MessageTooLarge):
        decoded(name, encode(b"a"), decoded=0)


@everyCoding
def test_theRatio(name: str, encode: Encode) -> None:
    """
    Within the free bytes there is none. Beyond, the body as a whole is what is judged, at the latest.
    """
    body = bytes(3 * MIB)
    coded = encode(body)
    ratio = len(body) / len(coded)
    # Members and frames cost something beside.
    price = {"gzip": 4096, "zstd": 16_384}.get(name, 0)
    assert ratio > 200
    # All of it has been given when the last bytes come: the last slice is what is counted.
    assert decoded(name, coded, ratio=(len(body) + price) / len(coded) * 1.3) == body
    assert decoded(name, coded, ratio=0, free=len(body) + price) == body
    for pieces in ([coded], single(coded)):
        for limits in ({"ratio": ratio * 0.99}, {"ratio": 0.0, "free": len(body) + price - 1}, {}):
            decoder = made(name, **limits)
            sizes: list[int] = []
            with pytest.raises(MessageTooLarge, match="DecodingLimits.ratio"):
                feed(decoder, *pieces, sizes=sizes)
            assert sum(sizes) < len(body)


@everyCoding
def test_whatIsFree(name: str, encode: Encode) -> None:
    assert decoded(name, encode(bytes(MIB - 16_384))) == bytes(MIB - 16_384)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_aBomb(name: str) -> None:
    """
    It is noticed before it is in memory: the most at a time is a piece, and the ratio stops it.
    """
    coded = bomb(name, 128 * MIB)
    assert len(coded) < 160_000
    # What is imported late doesn't count.
    list(made(name).decode(coded[:10]))
    tracemalloc.start()
    try:
        sizes: list[int] = []
        with pytest.raises(MessageTooLarge, match="ratio"):
            feed(made(name), coded, sizes=sizes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) <= 16_384 * 200 + PIECE
    # The Python side of it. brotli and zstd keep a window of their own beside, of 16 and 8 MiB at most.
    assert peak < 4 * PIECE
    # Whoever allows it gets it, in pieces.
    tracemalloc.start()
    try:
        sizes = feed(made(name, ratio=1e9), coded)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == 128 * MIB
    assert peak < 4 * PIECE


def test_theWindowOfZstd() -> None:
    """
    At most 8 MiB, whatever the frame asks for. RFC 9659.
    """
    for log in (23, 24, 27):
        encoder = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
        coded = encoder.compress(b"hello") + encoder.flush()
        if log == 23:
            assert decoded("zstd", coded) == b"hello"
        else:
            with pytest.raises(ContentError, match="too much memory"):
                decoded("zstd", coded)


def test_aBombInABomb() -> None:
    """
    What is between two codings counts, even where nothing comes out at the end.
    """
    for name, coded in (
        ("gzip, gzip", gzip.compress(gzip.compress(bytes(128 * MIB)))),
        ("gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(bytes(128 * MIB))))),
        ("zstd, br", quickBrotli(zstd.compress(bytes(128 * MIB)))),
        # Nothing at all comes of these.
        ("gzip, zstd", zstd.compress(gzip.compress(b"") * 500_000)),
        ("zstd, gzip", gzip.compress(SKIPPED * 500_000)),
    ):
        decoder = made(name)
        start = time.process_time()
        with pytest.raises(MessageTooLarge, match="DecodingLimits.ratio"):
            list(decoder.decode(coded))
        assert time.process_time() - start < 1


def test_membersOfNothing() -> None:
    """
    They take time, and so they count: 64 KiB of them are refused, or decoded in a few milliseconds. Small ones with
    something in them are no offence.
    """
    for name, member in (("zstd", zstd.compress(b"")), ("zstd", struct.pack("<II", 0x184D2A50, 0))):
        with pytest.raises(MessageTooLarge, match="ratio"):
            decoded(name, member * 7000)
    line = b'127.0.0.1 - - "GET /index.html HTTP/1.1" 200 1234 "https://a.example/" "Mozilla/5.0 (X11; Linux x86_64)"\n'
    for name, encode in (("gzip", gzip.compress), ("zstd", zstd.compress)):
        assert decoded(name, encode(line) * 5000) == line * 5000


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_timeIsLinear(name: str) -> None:
    """
    Whether it comes in one piece or byte by byte, twice the body takes no more than some twice the time.
    """
    encode = dict(ENCODERS[:2] + ENCODERS[3:])[name]
    body = os.urandom(4 * MIB)

    def seconds(coded: bytes, size: int) -> float:
        pieces = [coded[at : at + size] for at in range(0, len(coded), size)]
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            decoded(name, *pieces)
            best = min(best, time.process_time() - start)
        return best

    for size, share in ((len(body) * 2, 1), (1, 100)):
        once = seconds(encode(body[: len(body) // 4 // share]), size)
        fourTimes = seconds(encode(body[: len(body) // share]), size)
        assert fourTimes < 12 * once + 0.01


@pytest.mark.parametrize(
    "limits",
    [{"decoded": -1}, {"decoded": None}, {"decoded": 1.5}, {"ratio": -1}, {"ratio": "x"}, {"free": -1},
    {"codings": 1.0}],
)  # fmt: skip
def test_badLimits(limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"DecodingLimits.{next(iter(limits))} must be"):
        DecodingLimits(**limits)


# Pieces on demand


@everyCoding
def test_piecesAreMadeWhenTheyAreAskedFor(name: str, encode: Encode) -> None:
    body = random.Random(2).randbytes(MIB) + bytes(4 * MIB)
    coded = encode(body)
    decoder = made(name)
    pieces: Iterator[bytes] = decoder.decode(coded)
    assert decoder.coded == decoder.decoded == 0
    first = next(pieces)
    assert 0 < len(first) <= PIECE
    assert decoder.decoded == len(first)
    assert decoder.coded < len(coded) // 2
    # Who leaves the rest finds it with the next call.
    rest = b"".join(decoder.decode(b""))
    assert first + rest == body
    assert list(pieces) == []
    decoder.end()
    # Also where that brings more.
    decoder = made(name)
    half = len(coded) // 2
    first = next(decoder.decode(coded[:half]))
    assert first + b"".join(decoder.decode(coded[half:])) == body
    decoder.end()


def test_noPieceIsEmpty() -> None:
    for name, encode in ENCODERS:
        decoder = made(name)
        assert all(piece for data in single(encode(b"hello" * 100)) for piece in decoder.decode(data))


def test_theSlices() -> None:
    """
    What the module says of them holds: a piece holds what brotli gives at a time.
    """
    coded = bomb("br", 8 * MIB)
    step = codings.available()["br"]()
    out = step.step(coded)
    while out:
        assert len(out) <= PIECE // 2
        out = step.step(b"")
