"""
What a request may say of a file, and what is made of it: paths, dates, conditions, ranges, codings.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.http import WasiRequest
from wasinet_twisted.server.dates import formatDate, parseDate
from wasinet_twisted.server.static.codings import acceptable, checkCodings
from wasinet_twisted.server.static.conditions import Validators, rangeHolds, statusBy
from wasinet_twisted.server.static.mediatypes import typeOf
from wasinet_twisted.server.static.page import sizeOf
from wasinet_twisted.server.static.paths import DEEPEST, Refused, namesOf
from wasinet_twisted.server.static.ranges import MOST, rangesOf

pytestmark = pytest.mark.reactorless

# The example of RFC 9110 section 5.6.7, in its three forms.
MOMENT = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LONG = "Sunday, 06-Nov-94 08:49:37 GMT"
C_TIME = "Sun Nov  6 08:49:37 1994"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
FILE = Validators('"v1"', MOMENT)


def asking(**fields: str) -> WasiRequest:
    return WasiRequest(headers={name.replace("_", "-"): value for name, value in fields.items()})


@pytest.mark.parametrize("text", [DATE, LONG, C_TIME])
def test_dates(text: str) -> None:
    assert parseDate(text) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "784111777",
        DATE.replace("GMT", "UTC"),
        DATE.lower(),
        f" {DATE}",
        f"{DATE}, {DATE}",
        DATE.replace("06", "31"),
        DATE.replace("06", "6"),
        DATE.replace("08:", "24:"),
        DATE.replace(":37", ":61"),
        DATE.replace("1994", "0000"),
        DATE.replace("06", "\u0660\u0666"),
        C_TIME.replace("  6", " 6"),
    ],
)
def test_noDates(text: str) -> None:
    assert parseDate(text) is None


def test_leapSecond() -> None:
    assert parseDate("Sat, 31 Dec 2016 23:59:60 GMT") == parseDate("Sun, 01 Jan 2017 00:00:00 GMT")


def test_yearsOfTwoDigits() -> None:
    """
    More than 50 years ahead is in the past. RFC 9110 section 5.6.7
    """
    now = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    for digits, year in (("76", 2076), ("77", 1977), ("26", 2026), ("99", 1999), ("00", 2000)):
        moment = parseDate(f"Sunday, 06-Nov-{digits} 08:49:37 GMT", now)
        assert moment is not None
        assert time.gmtime(moment).tm_year == year


@given(st.integers(-2_000_000_000, 200_000_000_000))
def test_datesParseBack(moment: int) -> None:
    text = formatDate(moment)
    assert text is not None
    assert parseDate(text) == moment


def test_yearsThatHaveNoFourDigits() -> None:
    assert formatDate(10**18) is None
    assert formatDate(-(10**18)) is None


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("", [b""]),
        ("a/b.txt", [b"a", b"b.txt"]),
        ("a/", [b"a", b""]),
        ("%61%2562", [b"a%62"]),
        ("%C3%A9/%ff", ["é".encode(), b"\xff"]),
        ("a..b/c..", [b"a..b", b"c.."]),
        ("...", None),
        ("a+b", [b"a+b"]),
        ("c:d", [b"c:d"]),
        ("a/" * (DEEPEST - 1) + "b", [b"a"] * (DEEPEST - 1) + [b"b"]),
        ("a/" * DEEPEST + "b", None),
        ("//a", None),
        ("a//b", None),
        ("/", None),
        (".", None),
        ("..", None),
        ("a/../b", None),
        ("%2e%2e/b", None),
        (".%2E/b", None),
        ("%2e", None),
        ("a%2fb", None),
        ("..%2fb", None),
        ("a%5cb", None),
        ("a\\..\\b", None),
        ("a%00", None),
        ("a%00/b", None),
        (".git/config", None),
        ("a/.b", None),
        ("%2egit", None),
    ],
)
def test_paths(path: str, names: list[bytes] | None) -> None:
    if names is not None:
        assert namesOf(path, dotFiles=False) == names
    else:
        with pytest.raises(Refused) as caught:
            namesOf(path, dotFiles=False)
        assert caught.value.status == 404


@pytest.mark.parametrize("path", ["%", "%2", "a%zz", "a%%41", "%u0041", "%+1"])
def test_badEscapes(path: str) -> None:
    with pytest.raises(Refused) as caught:
        namesOf(path, dotFiles=False)
    assert caught.value.status == 400


def test_dotFiles() -> None:
    assert namesOf(".git/config", dotFiles=True) == [b".git", b"config"]
    for path in (".", "..", "a/..", "%2e%2e/a", "./a"):
        with pytest.raises(Refused):
            namesOf(path, dotFiles=True)


@given(st.lists(st.sampled_from(["a", "..", ".", "/", "%2e", "%2f", "%5c", "%00", "%25", "\\", "~", "%c0%ae"])))
def test_noNameLeadsOut(parts: list[str]) -> None:
    """
    Whatever is asked for: joined, it stays below.
    """
    try:
        names = namesOf("".join(parts), dotFiles=True)
    except Refused:
        return
    root = b"/root/of/it"
    path = os.path.normpath(os.path.join(root, *names))
    assert path == root or path.startswith(root + b"/")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, None),
        ({"If_Match": '"v1"'}, None),
        ({"If_Match": '"v0", "v1"'}, None),
        ({"If_Match": "*"}, None),
        ({"If_Match": '"v2"'}, 412),
        ({"If_Match": 'W/"v1"'}, 412),
        ({"If_Match": "v1"}, 412),
        ({"If_Match": '"v2"', "If_None_Match": '"v1"'}, 412),
        ({"If_Match": '"v1"', "If_Unmodified_Since": EARLIER}, None),
        ({"If_Unmodified_Since": DATE}, None),
        ({"If_Unmodified_Since": LATER}, None),
        ({"If_Unmodified_Since": EARLIER}, 412),
        ({"If_Unmodified_Since": "yesterday"}, None),
        ({"If_None_Match": '"v1"'}, 304),
        ({"If_None_Match": 'W/"v1"'}, 304),
        ({"If_None_Match": ' ,"v0" , W/"v1",'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"v2"'}, None),
        ({"If_None_Match": "v1"}, None),
        ({"If_None_Match": '"v1" "v2"'}, None),
        ({"If_None_Match": '"v2"', "If_Modified_Since": DATE}, None),
        ({"If_Modified_Since": DATE}, 304),
        ({"If_Modified_Since": LONG}, 304),
        ({"If_Modified_Since": C_TIME}, 304),
        ({"If_Modified_Since": LATER}, 304),
        ({"If_Modified_Since": EARLIER}, None),
        ({"If_Modified_Since": "never"}, None),
    ],
)
def test_conditions(fields: dict[str, str], status: int | None) -> None:
    assert statusBy(asking(**fields), FILE) == status


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        ('"v1"', True),
        ('"v2"', False),
        ('W/"v1"', False),
        ("*", False),
        ('"v1", "v2"', False),
        (DATE, True),
        (LONG, True),
        (LATER, False),
        (EARLIER, False),
        ("now", False),
    ],
)
def test_ifRange(value: str, holds: bool) -> None:
    assert rangeHolds(asking(If_Range=value), FILE, MOMENT + 1) is holds


def test_ifRangeByADateOfThisSecond() -> None:
    """
    A date says nothing of a file that may still change in the same second.
    """
    assert not rangeHolds(asking(If_Range=DATE), FILE, MOMENT + 0.9)
    assert rangeHolds(asking(If_Range=DATE), FILE, MOMENT + 1)
    assert rangeHolds(asking(), FILE, MOMENT)


def test_aFileOfTheFuture() -> None:
    """
    Last-Modified is never after Date. RFC 9110 section 8.8.2.1
    """
    assert FILE.fields(MOMENT - 1) == {"ETag": '"v1"', "Last-Modified": EARLIER}
    assert FILE.fields(MOMENT + 1) == {"ETag": '"v1"', "Last-Modified": DATE}


@pytest.mark.parametrize(
    ("value", "ranges"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-99", [(0, 100)]),
        ("bytes=0-100", [(0, 100)]),
        ("bytes=99-", [(99, 100)]),
        ("bytes=100-", []),
        ("bytes=100-200,300-", []),
        ("bytes=-1", [(99, 100)]),
        ("bytes=-100", [(0, 100)]),
        ("bytes=-101", [(0, 100)]),
        ("bytes=-0", []),
        ("bytes=" + "0" * 5000 + "5-" + "0" * 5000 + "6", [(5, 7)]),
        ("bytes=5-" + "9" * 5000, [(5, 100)]),
        ("bytes=" + "9" * 5000 + "-", []),
        ("BYTES=1-1", [(1, 2)]),
        ("bytes=1-1, 3-4,,200-", [(1, 2), (3, 5)]),
        ("bytes=0-49,50-99", [(0, 50), (50, 100)]),
        ("bytes=0-49,49-99", None),
        ("bytes=0-,0-", None),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(MOST)), [(n, n + 1) for n in range(MOST)]),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(MOST + 1)), None),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes", None),
        ("bytes=-", None),
        ("bytes=2-1", None),
        ("bytes=0-1,2-1", None),
        ("bytes=a-b", None),
        ("bytes=0 -1", None),
        ("bytes =0-1", None),
        ("bytes=+0-1", None),
        ("bytes=0x0-1", None),
        ("bytes=\u0661-2", None),
        ("bytes=--1", None),
        ("lines=0-1", None),
    ],
)
def test_ranges(value: str, ranges: list[tuple[int, int]] | None) -> None:
    assert rangesOf(value, 100) == ranges


def test_noRangeOfNothing() -> None:
    assert rangesOf("bytes=0-", 0) == []
    assert rangesOf("bytes=-5", 0) == []


@pytest.mark.parametrize(
    ("value", "codings"),
    [
        (None, []),
        ("", []),
        ("gzip", ["gzip"]),
        ("x-gzip", ["gzip"]),
        ("GZIP, br", ["br", "gzip"]),
        ("gzip;q=1, br;q=0.5", ["gzip", "br"]),
        ("br;q=0, *", ["zstd", "gzip"]),
        ("*;q=0", []),
        ("gzip;q=0.000", []),
        ("deflate, identity", []),
        ("gzip;q=2", []),
        ("gzip;level=9", []),
        ("gzip br", []),
    ],
)
def test_codings(value: str | None, codings: list[str]) -> None:
    assert acceptable(value, ("zstd", "br", "gzip")) == codings


def test_unknownCodings() -> None:
    for codings in ("gzip", ["deflate"]):
        with pytest.raises(InvalidArgument, match="zstd, br, gzip"):
            checkCodings(codings)


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.json", "application/json"),
        ("a.tar.gz", "application/gzip"),
        ("a.svgz", "application/gzip"),
        ("a", "application/octet-stream"),
        ("a.nosuch", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
        ("http:x.html", "text/html; charset=utf-8"),
    ],
)
def test_types(name: str, type: str) -> None:
    assert typeOf(name, "utf-8") == type


def test_scriptsAreText() -> None:
    assert typeOf("a.js", "utf-8") in ("text/javascript; charset=utf-8", "application/javascript; charset=utf-8")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2, "1.0 MiB"),
        (5 * 1024**4, "5.0 TiB"),
        (2**70, "1024.0 EiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert sizeOf(size) == text
