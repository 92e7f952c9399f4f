"""
URLs: what is accepted, what is refused, and what a Location leads to.
"""

from __future__ import annotations

import subprocess
import sys

import idna
import pytest
import yarl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support import more
from wasinet_twisted import _fast
from wasinet_twisted.client import urls
from wasinet_twisted.client.urls import Origin, Target, parseUrl
from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.http import WasiRequest

pytestmark = pytest.mark.reactorless

usual = settings(deadline=None, database=None, derandomize=True, max_examples=more(300, 30))


def outcome(parse: object, url: str) -> object:
    """
    The target, or what is said of the URL.
    """
    try:
        return parse(url)  # type: ignore[operator]
    except InvalidArgument as error:
        return str(error)


def refused(url: object) -> str:
    with pytest.raises(InvalidArgument) as caught:
        parseUrl(url)  # type: ignore[arg-type]
    return str(caught.value)


def sendable(target: Target) -> bool:
    """
    Does the request that goes there pass the encoder's checks?
    """
    wire = WasiRequest("GET", target.path, {"Host": target.host}).encode()
    return wire == f"GET {target.path} HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode("ascii")


@pytest.mark.parametrize(
    ("url", "origin", "path", "host"),
    [
        ("http://a/", ("http", "a", 80), "/", "a"), ("http://a", ("http", "a", 80), "/", "a"),
        ("https://a", ("https", "a", 443), "/", "a"),
        ("HTTPS://A.Example:8443/X", ("https", "a.example", 8443), "/X", "a.example:8443"),
        ("http://a:80/", ("http", "a", 80), "/", "a"), ("http://a:/", ("http", "a", 80), "/", "a"),
        ("http://a:00080/", ("http", "a", 80), "/", "a"), ("https://a:443/", ("https", "a", 443), "/", "a"),
        ("http://a:443/", ("http", "a", 443), "/", "a:443"), ("http://a:1", ("http", "a", 1), "/", "a:1"),
        ("http://a:65535", ("http", "a", 65535), "/", "a:65535"),
        ("http://a.b./", ("http", "a.b.", 80), "/", "a.b."), ("http://a_b-c/", ("http", "a_b-c", 80), "/", "a_b-c"),
        ("http://1a/", ("http", "1a", 80), "/", "1a"), ("http://1.a/", ("http", "1.a", 80), "/", "1.a"),
        ("http://127.0.0.1:8/", ("http", "127.0.0.1", 8), "/", "127.0.0.1:8"),
        ("http://[::1]/", ("http", "::1", 80), "/", "[::1]"), ("http://[::1]:8/", ("http", "::1", 8), "/", "[::1]:8"),
        ("http://[2001:DB8:0::1]/", ("http", "2001:db8::1", 80), "/", "[2001:db8::1]"),
        ("http://B\xfccher.example/", ("http", "xn--bcher-kva.example", 80), "/", "xn--bcher-kva.example"),
        ("http://fa\xdf.de:8/", ("http", "xn--fa-hia.de", 8), "/", "xn--fa-hia.de:8"),
        ("http://a\u3002b/", ("http", "a.b", 80), "/", "a.b"),
        ("http://" + "a" * 63 + "/", ("http", "a" * 63, 80), "/", "a" * 63),
        ("http://a?", ("http", "a", 80), "/?", "a"), ("http://a?b/c", ("http", "a", 80), "/?b/c", "a"),
        ("http://ab/?b?c", ("http", "ab", 80), "/?b?c", "ab"),
    ],
)  # fmt: skip
def test_whereItGoes(url: str, origin: tuple[str, str, int], path: str, host: str) -> None:
    target = parseUrl(url)
    assert (target.origin, target.path, target.host) == (Origin(*origin), path, host)
    assert (target.fragment, target.userinfo) == (None, None)
    assert sendable(target)
    # What is shown is the same URL.
    assert parseUrl(str(target)) == target


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Dot segments, RFC 3986 section 5.2.4; what is encoded is none.
        ("/a/../b/./c", "/b/c"), ("/..", "/"), ("/.", "/"), ("/a/.", "/a/"), ("/a/b/..", "/a/"), ("/../../a", "/a"),
        ("/a//../b", "/a/b"), ("//a//", "//a//"), ("/..a/.b/c.", "/..a/.b/c."), ("/a/%2E%2e/b", "/a/%2E%2e/b"),
        ("/a?/../b", "/a?/../b"),
        # What is encoded stays so, whatever it stands for.
        ("/%41%7e%c3%E9%2F", "/%41%7e%c3%E9%2F"), ("/?%41%20+%3d", "/?%41%20+%3d"),
        ("/\xe9\u20ac", "/%C3%A9%E2%82%AC"), ("/?\xe9", "/?%C3%A9"), ("/100%", "/100%25"), ("/%4", "/%254"),
        ("/?%zz", "/?%25zz"), ("/a[b]{c}|^`\"<>\\", "/a%5Bb%5D%7Bc%7D%7C%5E%60%22%3C%3E%5C"),
        ("/?a[]=1|\\", "/?a%5B%5D=1%7C%5C"), ("/:@!$&'()*+,;=-._~", "/:@!$&'()*+,;=-._~"),
        ("/?/?:@!$&'()*+,;=-._~", "/?/?:@!$&'()*+,;=-._~"), ("/%\xe9", "/%25%C3%A9"),
    ],
)  # fmt: skip
def test_whatIsAsked(given: str, expected: str) -> None:
    for host in ("a", "known.example"):
        for _ in range(2):
            target = parseUrl(f"http://{host}{given}")
            assert target.path == expected
            assert sendable(target)


def test_theFragmentIsKeptApart() -> None:
    target = parseUrl("http://a/b?c#d?e/\xe9#f")
    assert (target.path, target.fragment) == ("/b?c", "d?e/%C3%A9%23f")
    assert str(target) == "http://a/b?c#d?e/%C3%A9%23f"
    assert parseUrl("http://a#b").path == "/"
    assert parseUrl("http://a#").fragment == ""


def test_userAndPasswordAreKeptApart() -> None:
    for url, userinfo in (
        ("http://u:p@a/", ("u", "p")),
        ("http://u@a:80/", ("u", "")),
        ("http://:p@a/", ("", "p")),
        ("http://u:p:q@a", ("u", "p:q")),
        ("http://%75%40x:%25%C3%A9\xe9@a", ("u@x", "%\xe9\xe9")),
        ("http://@a/", None),
    ):
        for _ in range(2):
            target = parseUrl(url)
            assert target.userinfo == userinfo
            assert (target.host, target.path, str(target)) == ("a", "/", "http://a/")
            assert "p" not in repr(target).replace("http", "")
    # The same place without them is not remembered with them, nor the other way round.
    assert parseUrl("http://a/").userinfo is None


@pytest.mark.parametrize("userinfo", ["a%3Ab:secret", "a%0Ab:secret", "a:secret%0D%0A", "a:%00secret", "a:secret%7F"])
def test_userAndPasswordThatBasicCannotSay(userinfo: str) -> None:
    with pytest.raises(InvalidArgument, match="must have a user without a colon, and no control") as caught:
        parseUrl(f"http://{userinfo}@a/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        # The scheme.
        ("", "http://"), ("/a", "http://"), ("a.example/b", "http://"), ("a.example:80/b", "http://"),
        ("//a/", "http://"),
        ("ftp://a/", "http://"), ("httpx://a/", "http://"), ("http+unix://a/", "http://"), ("javascript:1", "http://"),
        ("file:///etc/passwd", "http://"), ("HTTP\u017f://a/", "http://"), ("://a/", "http://"),
        # The host.
        ("http:", "no host"), ("http:a", "no host"), ("http:/a", "no host"), ("http://", "no host"),
        ("http:///a", "no host"), ("http://:80/", "no host"), ("http://?a", "no host"), ("http://u@/", "no host"),
        ("http://a%41/", "letters"), ("http://a..b/", "letters"), ("http://.a/", "letters"), ("http://./", "letters"),
        ("http://a,b/", "letters"), ("http://a*/", "letters"), ("http://a\\b/", "letters"), ("http://a|b/", "letters"),
        ("http://" + "a" * 64 + "/", "letters"), ("http://" + "a." * 126 + "a/", None),
        ("http://" + "a." * 126 + "a./", None), ("http://" + "a." * 126 + "ab/", "letters"),
        ("http://" + "a." * 126 + "ab./", "letters"),
        # What some take for 127.0.0.1.
        ("http://127.1/", "four decimal"), ("http://2130706433/", "four decimal"),
        ("http://0x7f.0.0.1/", "four decimal"),
        ("http://0177.0.0.1/", "four decimal"), ("http://127.0.0.1./", "four decimal"),
        ("http://a.0x/", "four decimal"),
        ("http://1.2.3.4.5/", "four decimal"), ("http://256.1.1.1/", "four decimal"), ("http://a.1/", "four decimal"),
        ("http://\uff11\uff12\uff17.1/", "four decimal"),
        ("http://[::1/", "brackets"), ("http://::1/", "no host"), ("http://1::1/", "brackets"),
        ("http://[::1]a/", "brackets"),
        ("http://[fe80::1%25eth0]/", "brackets"), ("http://[v1.a]/", "brackets"), ("http://[]/", "brackets"),
        ("http://[1:2]/", "IPv6"), ("http://[::1.2.3]/", "IPv6"), ("http://[::12345]/", "IPv6"),
        # No host name, or one that looks like another.
        ("http://\u2100.example/", "host"), ("http://a\u200b.example/", "IDNA"), ("http://a\xadb/", "IDNA"),
        ("http://\ufe0f/", "IDNA"), ("http://a\uff0fb/", "host"), ("http://a\uff20b/", "host"),
        ("http://a\uff1a80/", "host"),
        # The port.
        ("http://a:0/", "65535, not 0"), ("http://a:65536/", "65535, not 65536"), ("http://a:b/", "host:port"),
        ("http://a:-1/", "host:port"), ("http://a:+1/", "host:port"), ("http://a:1_0/", "host:port"),
        ("http://a:000001/", "host:port"), ("http://a:\u0661/", "host:port"), ("http://a:1:2/", "host:port"),
        # White space, control characters, halves of surrogate pairs.
        (" http://a/", "U+0020 at index 0"), ("http://a/ ", "U+0020"), ("http://a/\n", "U+000A"),
        ("http://a/b c", "U+0020"),
        ("http://a/\tb", "U+0009"), ("http://a\r\nX: y/", "U+000D"), ("http://a/\0", "U+0000"),
        ("ht\ntp://a/", "U+000A"),
        ("http://a/\x7f", "U+007F"), ("http://a/\x85", "U+0085"), ("http://a/\xa0", "U+00A0"),
        ("http://a/\u2028", "U+2028"),
        ("http://a/\u3000", "U+3000"), ("http://a/\ud800", "U+D800"), ("http://a/#\x1b", "U+001B"),
        # User information that two readers read differently.
        ("http://a\\@b/", "percent-encoded"), ("http://u@x:p@a/", "percent-encoded"),
        ("http://u:100%@a/", "percent-encoded"),
        ("http://u:%FF@a/", "UTF-8"),
    ],
)  # fmt: skip
def test_refused(url: str, fault: str | None) -> None:
    if fault is None:
        assert sendable(parseUrl(url))
    else:
        assert fault in refused(url)


def test_anErrorShowsTheUrlAndNoPassword() -> None:
    assert refused("ftp://a.example/b") == "the URL must begin with http:// or https://: 'ftp://a.example/b'"
    assert "'http://…a:0/x'" in refused("http://user:secret@a:0/x").replace("@", "")
    for url in (
        "http://u:secret@a:0/", "http://u:secret@a b/", "ftp://u:secret@a/", "u:secret@a", "http:/u:secret@a/",
        "http://u:secr@et@a/", "http://u:secret/@a", "http://u:secret#@a/", "http:\\\\u:secret@a/",
        "http://u:secret%@a/",
        "http://u:secret%FF@a/", "u:secret\n@a",
    ):  # fmt: skip
        assert "secr" not in refused(url), url
    assert "secret" not in refused(b"http://u:secret@a/")
    assert len(refused("http://a:0/" + "b" * 1000)) < 250


@pytest.mark.parametrize("given", [None, 5, b"http://a/", ["http://a/"]])
def test_whatIsNoUrl(given: object) -> None:
    assert "must be a str or a yarl.URL" in refused(given)


def test_yarlsUrls() -> None:
    assert parseUrl(yarl.URL("http://\xe9.example/b c?d=e f#g")) == parseUrl("http://xn--9ca.example/b%20c?d=e+f#g")
    # Whoever has encoded it keeps it so.
    assert parseUrl(yarl.URL("http://a/%41?%20", encoded=True)).path == "/%41?%20"
    assert parseUrl(yarl.URL("http://u:p%40@a/")).userinfo == ("u", "p@")
    assert "http://" in refused(yarl.URL("/a"))


def test_withoutTheExtra() -> None:
    """
    URLs in ASCII need nothing, and the others say what they need.
    """
    program = (
        "import sys\n"
        "sys.modules['yarl'] = sys.modules['idna'] = None\n"
        "from wasinet_twisted.client.urls import parseUrl\n"
        "from wasinet_twisted.errors import NotSupported\n"
        "print(parseUrl('http://a/\\xe9?b'))\n"
        "try:\n    parseUrl('http://\\xe9/')\nexcept NotSupported as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (
        "http://a/%C3%A9?b\n"
        "a host name beyond ASCII needs the extra: pip install 'wasinet_twisted[client]'\n",
        "",
    )  # fmt: skip


# The fast path

PIECES = st.sampled_from(
    [
        "http://", "https://", "HTTP://", "a", "A.b", "127.0.0.1", "[::1]", "\xe9", ":80", ":", ":8", "/", "//",
        "/.", "/..",
        ".", "?", "#", "@", "%", "%41", "%2e", "%2E%2E", "b", "x=1", "&", "[", "|", "\\", " ", "\n", "\u20ac", "'",
        "~", "\ud800",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(PIECES, max_size=8).map("".join),
    st.tuples(
        st.sampled_from(["http://a", "https://a.b:8", "http://ab", "HTTP://A:80"]), st.lists(PIECES, max_size=6)
    ).map(lambda pair: pair[0] + "/" + "".join(pair[1])),
    st.text(max_size=8).map(lambda text: f"http://a/{text}"),
)


@pytest.mark.skipif(not _fast.isOn("client.url"), reason="WASINET_FAST switches off what is compared")
@usual
@given(TEXTS)
@example("http://ab")
@example("http://a?/b")
@example("http://a/..")
@example("http://a//..")
@example("http://a/%2e")
def test_theFastPathGivesWhatTheSlowOneGives(url: str) -> None:
    parseUrl("http://a/")
    # Asked twice: the slow path tells it what it doesn't know.
    for _ in range(2):
        assert outcome(parseUrl, url) == outcome(urls._parse, url)


@pytest.mark.skipif(not _fast.isOn("client.url"), reason="WASINET_FAST switches it off")
def test_theFastPathIsTaken(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of an origin that is known, by a path that needs no change.
    """
    for authority in ("http://a", "https://x.example:8443", "HTTP://B\xfccher.example:80", "http://[::1]:8"):
        parseUrl(authority)
        with monkeypatch.context() as patched:
            patched.setattr(urls, "_parse", lambda url: pytest.fail(f"the slow path was asked for {url}"))
            target = parseUrl(f"{authority}/users/1/item-2.html?page=3&q=%C3%A9/.x".replace("/.", "/"))
        assert target == urls._parse(str(target))


def test_whatIsRememberedIsBounded() -> None:
    for number in range(2 * urls._CACHE_SIZE):
        parseUrl(f"http://host{number}/")
        assert len(urls._authorities) <= urls._CACHE_SIZE
    parseUrl(f"http://{'a.' * 80}b/")
    parseUrl("http://secret:secret@a/")
    assert all(len(text) <= urls._CACHED_LENGTH and "secret" not in text for text in urls._authorities)


@usual
@given(TEXTS)
def test_whatIsAcceptedCanBeSent(url: str) -> None:
    target = outcome(parseUrl, url)
    if isinstance(target, Target):
        assert sendable(target)
        assert target.origin.host == target.origin.host.lower()
        again = parseUrl(str(target))
        assert (again.origin, again.path, again.host, again.fragment) == (
            target.origin,
            target.path,
            target.host,
            target.fragment,
        )


@usual
@given(TEXTS)
def test_yarlGoesToTheSameHost(url: str) -> None:
    """
    Where both accept a URL, they agree whom it goes to; we accept fewer.
    """
    target = outcome(parseUrl, url)
    if isinstance(target, Target):
        found = yarl.URL(url)
        # yarl takes ":" without a number for the default, too.
        assert (found.scheme, found.raw_host, found.port) == tuple(target.origin)
        assert found.raw_path == yarl.URL(str(target)).raw_path
        assert found.raw_fragment == yarl.URL(str(target)).raw_fragment


@usual
@given(st.text("ab\xe4\xdf\u03b1\u3042-.1", min_size=1, max_size=12))
def test_hostsBeyondAsciiAreThoseOfIdna(name: str) -> None:
    target = outcome(parseUrl, f"http://{name}/")
    try:
        expected = idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError:
        return
    if isinstance(target, Target) and not name.isascii():
        assert target.origin.host == expected


# References

BASE = "http://a/b/c/d;p?q"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        # RFC 3986 section 5.4.1 and 5.4.2
        ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"), ("g/", "http://a/b/c/g/"), ("/g", "http://a/g"),
        ("//g", "http://g/"), ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"), ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"), ("g?y#s", "http://a/b/c/g?y#s"), (";x", "http://a/b/c/;x"), ("", BASE),
        (".", "http://a/b/c/"), ("./", "http://a/b/c/"), ("..", "http://a/b/"), ("../", "http://a/b/"),
        ("../g", "http://a/b/g"), ("../..", "http://a/"), ("../../g", "http://a/g"), ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"), ("/../g", "http://a/g"), ("g.", "http://a/b/c/g."), ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"), ("g;x=1/../y", "http://a/b/c/y"), ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        # The rest is ours to choose.
        ("?", "http://a/b/c/d;p?"), ("https://x:443/y#", "https://x/y#"), ("HTTP://X", "http://x/"),
        ("//x:81?z", "http://x:81/?z"),
        ("/a b?c d", "http://a/a%20b?c%20d"), ("/%41?%20", "http://a/%41?%20"),
        ("\\\\evil.example", "http://a/b/c/%5C%5Cevil.example"),
        ("/\\evil.example", "http://a/%5Cevil.example"), ("///x", None),
        # Bytes, read as latin-1: UTF-8 or not. And text.
        ("/\xc3\xa9", "http://a/%C3%A9"), ("/\xe9", "http://a/%E9"), ("/\u20ac", "http://a/%E2%82%AC"),
        ("//\xc3\xa9.example/", "http://xn--9ca.example/"), ("//\xe9.example/", None),
        # Not to be followed.
        ("http:g", None), ("ftp://x/", None), ("javascript:alert(1)", None), ("//", None), ("http:///x", None),
        ("/a\tb", None), ("/a\r\nX: y", None), ("//x y/", None), ("//x:0/", None), ("/\ud800", None),
        ("localhost:80/x", None),
    ],
)  # fmt: skip
def test_join(reference: str, expected: str | None) -> None:
    target = parseUrl(BASE)
    if expected is None:
        with pytest.raises(InvalidArgument):
            target.join(reference)
    else:
        joined = target.join(reference)
        assert str(joined) == expected
        assert sendable(joined)
    assert target == parseUrl(BASE)


def test_theFragmentIsInherited() -> None:
    """
    RFC 9110 section 10.2.2
    """
    target = parseUrl("http://u:p@a/b#c")
    for reference, fragment in (("/x", "c"), ("http://d/", "c"), ("//d", "c"), ("", "c"), ("/x#", ""), ("//d#e", "e")):
        joined = target.join(reference)
        assert joined.fragment == fragment
        assert joined.userinfo is None
    assert target.join("//v:w@x").userinfo == ("v", "w")


def test_targets() -> None:
    one, other = parseUrl("http://a/b"), parseUrl("HTTP://A:80/b")
    assert one == other
    assert hash(one) == hash(other)
    assert one != parseUrl("http://a/c")
    assert one != "http://a/b"
    assert repr(one) == "<Target http://a/b>"
    with pytest.raises(AttributeError):
        one.paht = "/"  # type: ignore[attr-defined]
