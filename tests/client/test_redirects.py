"""
Redirects: what the next request is.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from multidict import CIMultiDict

from wasinet_twisted.client.redirects import Redirect, checkRedirects, redirected
from wasinet_twisted.client.urls import parseUrl
from wasinet_twisted.errors import LimitExceeded, NotSupported, RemoteProtocolError, TooManyRedirects

pytestmark = pytest.mark.reactorless

HERE = "https://u:p@a.example/b/c?d#e"
SECRETS = {"Authorization": "s", "proxy-authorization": "s", "COOKIE": "s", "Host": "other.example"}
OF_THE_BODY = {
    "Content-Encoding": "gzip", "content-language": "en", "CONTENT-LOCATION": "/", "Content-Type": "text/plain",
    "Content-Length": "3", "Content-MD5": "x", "Transfer-Encoding": "chunked", "Expect": "100-continue", "Trailer": "X",
    "Digest": "x", "Repr-Digest": "x", "Last-Modified": "x",
}  # fmt: skip
OTHERS = {"Accept": "*/*", "X-Content": "x", "User-Agent": "x"}


def redirect(
    status: int = 302,
    location: str | Sequence[str] = "/x",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    hasBody: bool = False,
    replayable: bool = True,
    here: str = HERE,
) -> Redirect | None:
    fields = CIMultiDict(headers or {})
    locations = [location] if isinstance(location, str) else location
    try:
        return redirected(
            method, fields, parseUrl(here), status, locations, hasBody=hasBody, replayable=replayable
        )  # fmt: skip
    finally:
        # What was given stays as it was.
        assert fields == CIMultiDict(headers or {})


def followed(*given: object, **more: object) -> Redirect:
    found = redirect(*given, **more)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize("status", [200, 201, 204, 300, 304, 305, 306, 309, 399, 400, 404, 503])
def test_noRedirect(status: int) -> None:
    assert redirect(status) is None
    assert redirect(status, ["/x", "/y"]) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_withoutALocation(status: int) -> None:
    assert redirect(status, [], method="POST", hasBody=True, replayable=False) is None


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (301, "GET", "GET"), (301, "HEAD", "HEAD"), (301, "POST", "GET"), (301, "PUT", "PUT"),
        (301, "DELETE", "DELETE"),
        (302, "GET", "GET"), (302, "HEAD", "HEAD"), (302, "POST", "GET"), (302, "PUT", "PUT"), (302, "PATCH", "PATCH"),
        (303, "GET", "GET"), (303, "HEAD", "HEAD"), (303, "POST", "GET"), (303, "PUT", "GET"), (303, "DELETE", "GET"),
        (307, "GET", "GET"), (307, "HEAD", "HEAD"), (307, "POST", "POST"), (307, "PUT", "PUT"),
        (308, "GET", "GET"), (308, "HEAD", "HEAD"), (308, "POST", "POST"), (308, "QUERY", "QUERY"),
        # Methods are compared as they are.
        (301, "post", "post"), (303, "get", "GET"),
    ],
)  # fmt: skip
def test_methodAndBody(status: int, method: str, expected: str) -> None:
    """
    Where the method changes to GET, the body goes, and all that tells of it.
    """
    headers = {**OF_THE_BODY, **OTHERS}
    found = followed(status, method=method, headers=headers, hasBody=True)
    assert found.method == expected
    assert found.keepsBody is (method == expected)
    assert found.headers == CIMultiDict(headers if method == expected else OTHERS)
    # A body that can be sent once is an error where it must be sent twice.
    if found.keepsBody:
        with pytest.raises(NotSupported, match=f"the {status} to 'https://a.example/x#e' asks for the body again"):
            redirect(status, method=method, hasBody=True, replayable=False)
    else:
        assert redirect(status, method=method, hasBody=True, replayable=False) is not None
    # None is never sent twice.
    assert followed(status, method=method, replayable=False).keepsBody is False


@pytest.mark.parametrize(
    ("here", "location", "same"),
    [
        ("https://a/", "/x", True), ("https://a/", "", True), ("https://a/", "?x", True), ("https://a/", "//a/", True),
        ("https://a/", "https://A:443/", True), ("http://a:8/", "HTTP://a:08/", True),
        ("https://a/", "https://b/", False), ("https://a/", "https://a:8443/", False),
        ("https://a/", "http://a/", False),
        ("http://a/", "https://a/", False), ("https://a/", "http://a:443/", False), ("https://a/", "//a.b/", False),
        ("https://a/", "https://a./", False),
    ],
)  # fmt: skip
def test_secretsStayWithTheirOrigin(here: str, location: str, same: bool) -> None:
    headers = CIMultiDict({**SECRETS, **OTHERS})
    headers.add("cookie", "another")
    found = redirected("GET", headers, parseUrl(here.replace("//", "//u:p@")), 302, [location])
    assert found is not None
    assert found.headers == (headers if same else CIMultiDict(OTHERS))
    assert found.target.userinfo == (("u", "p") if same else None)
    # On the way back they are not there any more.
    back = redirected("GET", found.headers, found.target, 302, [here])
    assert back is not None
    assert back.headers == found.headers


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/x", "https://a.example/x#e"), ("x", "https://a.example/b/x#e"), ("?y", "https://a.example/b/c?y#e"),
        ("//f/", "https://f/#e"), ("http://f:8/g#h", "http://f:8/g#h"), ("/x#", "https://a.example/x#"),
        ("", "https://a.example/b/c?d#e"), ("/a b", "https://a.example/a%20b#e"),
        ("/\xc3\xa9", "https://a.example/%C3%A9#e"),
    ],
)  # fmt: skip
def test_whereItLeads(location: str, expected: str) -> None:
    assert str(followed(301, location).target) == expected


@pytest.mark.parametrize(
    "location",
    [
        "ftp://a/", "javascript:1", "data:,x", "file:///etc/passwd", "http://", "http:///x", "http://a:0/",
        "http://127.1/",
        "/a\tb", "//a\\b/", "https://a.example\\@evil.example/",
        # User and password of the server's choice, to its own origin and to others.
        "https://v:w@a.example/x", "https://v@b.example/", "//v:w@b.example/", "https://u:p@a.example/x",
    ],
)  # fmt: skip
def test_whatIsNotFollowed(location: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        redirect(302, location)
    assert str(caught.value).startswith("the 302 of 'https://a.example/b/c?d#e' has a Location ")
    assert "w@" not in str(caught.value)


@pytest.mark.parametrize("locations", [["/x", "/y"], ["/x", "/x"], ["", ""], ["/x", "/y", "/z"]])
def test_severalLocations(locations: list[str]) -> None:
    with pytest.raises(RemoteProtocolError, match=f"has {len(locations)} Location fields instead of one"):
        redirect(302, locations)


def test_howMany() -> None:
    target = parseUrl("http://u:p@a/b")
    for followedSoFar in range(20):
        checkRedirects(followedSoFar, 20, target)
    with pytest.raises(TooManyRedirects) as caught:
        checkRedirects(20, 20, target)
    assert str(caught.value) == "more than 20 redirects; the next would lead to 'http://a/b'"
    assert isinstance(caught.value, LimitExceeded)
    with pytest.raises(TooManyRedirects):
        checkRedirects(0, 0, target)
