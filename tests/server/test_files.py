"""
Serving a directory: what is served and what is not, whole and in parts, on a Clock.
"""

from __future__ import annotations

import gzip
import os
import socket
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from tests.server.support import MemoryServerCase, get, message, parse
from tests.support import temporaryDirectory
from wasinet_twisted.errors import IncompleteRead, InvalidArgument
from wasinet_twisted.http import WasiResponse
from wasinet_twisted.server import files
from wasinet_twisted.server.static import page
from wasinet_twisted.server.static.body import PIECE
from wasinet_twisted.server.static.opening import Root
from wasinet_twisted.server.static.paths import Refused

# 2001-09-09T01:46:40Z
MODIFIED = 1_000_000_000
DATE = "Sun, 09 Sep 2001 01:46:40 GMT"
ETAG = f'"{MODIFIED * 10**9:x}-5"'
SECRET = b"secret"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class FilesCase(MemoryServerCase):
    """
    A directory C{site}, and beside it what is not to be served.
    """

    def setUp(self) -> None:
        super().setUp()
        self.outside = temporaryDirectory(self)
        self.site = self.outside / "site"
        self.site.mkdir()
        (self.outside / "secret.txt").write_bytes(SECRET)
        self.write("a.txt", b"hello")

    def write(self, name: str, data: bytes, modified: float = MODIFIED) -> Path:
        path = self.site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (modified, modified))
        return path

    def show(self, **options: Any) -> None:
        self.serve(files(self.site, **options))

    def ask(self, path: str, *fields: str, method: str = "GET", **options: Any) -> WasiResponse:
        """
        @param options: for C{files}.
        """
        if options or not self.servers:
            self.show(**options)
        before = descriptors()
        peer = self.connect(message(method, path, *fields))
        (response,) = parse(peer.take(), method)
        self.assertEqual(descriptors(), before, "files are left open")
        return response

    def assertStatus(self, status: int, path: str, **options: Any) -> None:
        response = self.ask(path, **options)
        self.assertEqual(response.status, status, path)
        if status >= 400:
            self.assertEqual(response.getHeader("Content-Type"), "text/plain; charset=utf-8")
            self.assertNotIn(SECRET, response.body)


class WholeTests(FilesCase):
    def test_file(self) -> None:
        response = self.ask("/a.txt?v=1")
        self.assertEqual((response.status, response.body), (200, b"hello"))
        fields = {name: value for name, value in response.fields() if name != "Date"}
        self.assertEqual(
            fields,
            {
                "Content-Type": "text/plain; charset=utf-8",
                "X-Content-Type-Options": "nosniff",
                "ETag": ETAG,
                "Last-Modified": DATE,
                "Accept-Ranges": "bytes",
                "Content-Length": "5",
            },
        )

    def test_absoluteForm(self) -> None:
        self.assertEqual(self.ask("http://x/a.txt").body, b"hello")

    def test_head(self) -> None:
        """
        The fields of GET; a Range is for GET alone (RFC 9110 section 14.2).
        """
        whole = self.ask("/a.txt")
        head = self.ask("/a.txt", "Range: bytes=0-0", method="HEAD")
        self.assertEqual((head.status, head.fields(), head.body), (200, whole.fields(), b""))
        self.write("big", bytes(PIECE + 1))
        head = self.ask("/big", method="HEAD")
        self.assertEqual(head.getHeader("Content-Length"), str(PIECE + 1))

    def test_empty(self) -> None:
        self.write("empty", b"")
        response = self.ask("/empty")
        self.assertEqual((response.status, response.body, response.getHeader("Content-Length")), (200, b"", "0"))
        response = self.ask("/empty", "Range: bytes=0-")
        self.assertEqual((response.status, response.getHeader("Content-Range")), (416, "bytes */0"))

    def test_sizesAroundAPiece(self) -> None:
        for size in (PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7):
            data = os.urandom(size)
            self.write("big", data)
            response = self.ask("/big")
            self.assertEqual((response.body, response.getHeader("Content-Length")), (data, str(size)))

    def test_methods(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"):
            response = self.ask("/a.txt", method=method)
            self.assertEqual((response.status, response.getHeader("Allow")), (405, "GET, HEAD"), method)

    def test_charset(self) -> None:
        self.assertEqual(self.ask("/a.txt", charset="latin-1").getHeader("Content-Type"), "text/plain; charset=latin-1")

    def test_namesOutOfTheOrdinary(self) -> None:
        for name, path in {
            "é.txt": "/%C3%A9.txt",
            "a b+c%20.txt": "/a%20b+c%2520.txt",
            "c:d.txt": "/c:d.txt",
            "?#.txt": "/%3F%23.txt",
            "a\nb.txt": "/a%0Ab.txt",
            "~": "/~",
        }.items():
            self.write(name, name.encode())
            self.assertEqual(self.ask(path).body, name.encode())
        Path(os.fsdecode(os.fsencode(self.site) + b"/\xff")).write_bytes(b"no UTF-8")
        self.assertEqual(self.ask("/%FF").body, b"no UTF-8")

    def test_prefix(self) -> None:
        self.assertEqual(self.ask("/static/a.txt", prefix="/static/").body, b"hello")
        for path in ("/a.txt", "/static", "/staticx/a.txt", "/static//a.txt", "/static/../static/a.txt"):
            self.assertStatus(404, path)

    def test_badArguments(self) -> None:
        for directory in (self.site / "nothing", self.site / "a.txt"):
            error = self.assertRaises(InvalidArgument, files, directory)
            self.assertIn(str(directory), str(error))
        for options in ({"prefix": "static/"}, {"prefix": "/static"}, {"index": "index.html"}, {"index": ["a/b"]}):
            self.assertRaises(InvalidArgument, files, self.site, **options)


class RefusedTests(FilesCase):
    def test_noWayOut(self) -> None:
        """
        A corpus of what has led out of other servers' directories.
        """
        for options in ({}, {"dotFiles": True}, {"followSymlinks": True}):
            self.show(**options)
            for up in (
                "..",
                "%2e%2e",
                ".%2e",
                "%2E.",
                "%252e%252e",
                "..%00",
                "..%01",
                "..;",
                "..%20",
                "...",
                "....//..",
                "%c0%ae%c0%ae",
                "%c0%2e%c0%2e",
                "%e0%80%ae%e0%80%ae",
                "%u002e%u002e",
                "%uff0e%uff0e",
                "%ef%bc%8e%ef%bc%8e",
            ):
                for slash in ("/", "%2f", "%2F", "%5c", "\\", "%255c", "%252f", "//", "/./", "%c0%af", "%e0%80%af"):
                    for path in (f"/{up}{slash}secret.txt", f"/a{slash}{up}{slash}{up}{slash}secret.txt"):
                        response = self.ask(path)
                        self.assertIn(response.status, (400, 404), path)
                        self.assertNotIn(SECRET, response.body)
            for path in (
                f"/{self.outside}/secret.txt",
                f"//{self.outside}/secret.txt",
                f"/{str(self.outside).replace('/', '%2f')}%2fsecret.txt",
                "/a.txt/../../secret.txt",
                "/a.txt/",
                "/a.txt/x",
                "/a.txt%00.html",
                "/a.txt%00",
                "/./a.txt",
                "//a.txt",
                "/secret.txt",
                "/" + "a" * 300,
                "/" + "a/" * 2000,
            ):
                self.assertStatus(404, path)

    def test_linksThatLeadOut(self) -> None:
        for name, target in {
            "file": "../secret.txt",
            "absolute": str(self.outside / "secret.txt"),
            "up": "..",
            "beside": "../site-2",
            "chain": "file",
            # As long as the directory's own path, and with a file of the same name.
            "twin": "../twin",
            "nowhere": "nothing",
            "circle": "circle",
        }.items():
            (self.site / name).symlink_to(target)
        # Its path begins as that of the directory does.
        (self.outside / "site-2").mkdir()
        (self.outside / "twin").mkdir()
        (self.outside / "twin" / "a.txt").write_bytes(SECRET)
        (self.outside / "site-2" / "secret.txt").write_bytes(SECRET)
        paths = ("/file", "/absolute", "/up/secret.txt", "/up/", "/up", "/beside/secret.txt", "/beside/", "/chain")
        for path in (*paths, "/twin/a.txt"):
            self.assertStatus(404, path)
        listed = self.ask("/").body
        for name in (b"file", b"absolute", b"up", b"beside", b"chain", b"nowhere", b"circle"):
            self.assertNotIn(b'"./' + name, listed)
        self.show(followSymlinks=True)
        for path in ("/file", "/absolute", "/up/secret.txt", "/beside/secret.txt", "/chain"):
            self.assertEqual(self.ask(path).body, SECRET, path)
        self.assertIn(b'"./up/"', self.ask("/").body)
        for path in ("/nowhere", "/circle", "/circle/x"):
            self.assertStatus(404, path)

    def test_linksThatStayInside(self) -> None:
        self.write("sub/b.txt", b"b")
        self.write(".hidden", b"hidden")
        for name, target in {
            "link": "a.txt",
            "dir": "sub",
            "through": "../site/sub/b.txt",
            "self": ".",
            # As Kubernetes mounts files: what counts is the name that is asked for.
            "shown": ".hidden",
        }.items():
            (self.site / name).symlink_to(target)
        for path, body in {
            "/link": b"hello",
            "/dir/b.txt": b"b",
            "/through": b"b",
            "/self/self/a.txt": b"hello",
            "/shown": b"hidden",
        }.items():
            self.assertEqual(self.ask(path).body, body, path)
        self.assertIn(b'"./dir/"', self.ask("/").body)

    def test_aDirectoryThatIsALink(self) -> None:
        """
        It may be exchanged while the server runs.
        """
        (self.outside / "current").symlink_to("site")
        handler = files(self.outside / "current")
        self.serve(handler)
        self.assertEqual(self.ask("/a.txt").body, b"hello")
        (self.outside / "next").mkdir()
        (self.outside / "next" / "a.txt").write_bytes(b"next")
        (self.outside / "current").unlink()
        (self.outside / "current").symlink_to("next")
        self.assertEqual(self.ask("/a.txt").body, b"next")

    def test_exchangedForALinkMeanwhile(self) -> None:
        """
        After a path has been resolved, a directory on it becomes a link that leads out.
        """
        self.write("real/secret.txt", b"public")
        (self.site / "link").symlink_to("real")
        root = Root(os.fsencode(self.site), False)
        realpath = os.path.realpath

        def resolve(path: bytes, **options: Any) -> bytes:
            found = realpath(path, **options)
            if found.endswith(b"secret.txt"):
                (self.site / "real").rename(self.outside / "away")
                (self.site / "real").symlink_to(self.outside)
            return found

        self.patch(os.path, "realpath", resolve)
        # Opening it raises ENOTDIR, which means 404.
        error = self.assertRaises(Refused, root.open, [b"link", b"secret.txt"])
        self.assertEqual(error.status, 404)

    def test_onlyRegularFiles(self) -> None:
        """
        A FIFO is not even opened, which its writer would notice.
        """
        os.mkfifo(self.site / "fifo")
        opened = []
        opening = os.open

        def look(path: Any, *arguments: Any, **options: Any) -> int:
            if path.endswith(b"fifo"):
                opened.append(path)
            return opening(path, *arguments, **options)

        self.patch(os, "open", look)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.site / "socket"))
            (self.site / "null").symlink_to("/dev/null")
            for options in ({}, {"followSymlinks": True}):
                self.show(**options)
                for name in ("fifo", "socket", "null"):
                    self.assertStatus(404, f"/{name}")
                    self.assertNotIn(name.encode(), self.ask("/").body)
        self.assertEqual(opened, [])

    def test_dotFiles(self) -> None:
        self.write(".git/config", SECRET)
        self.write(".htpasswd", SECRET)
        for path in ("/.git/config", "/%2egit/config", "/.htpasswd", "/.git/", "/.git"):
            self.assertStatus(404, path)
        self.assertNotIn(b".git", self.ask("/").body)
        self.show(dotFiles=True)
        self.assertEqual(self.ask("/.git/config").body, SECRET)
        self.assertIn(b'"./.htpasswd"', self.ask("/").body)

    def test_withoutTheRight(self) -> None:
        opened = os.open

        def refuse(path: Any, *arguments: Any, **options: Any) -> int:
            if path == b"a.txt":
                raise PermissionError(13, "Permission denied")
            return opened(path, *arguments, **options)

        self.patch(os, "open", refuse)
        self.assertStatus(403, "/a.txt")

    def test_withoutDescriptors(self) -> None:
        def refuse(*_: Any, **__: Any) -> int:
            raise OSError(24, "Too many open files")

        self.show()
        self.patch(os, "open", refuse)
        self.assertEqual(self.ask("/a.txt").status, 503)


class ConditionTests(FilesCase):
    def test_notModified(self) -> None:
        for field in (f"If-None-Match: {ETAG}", f"If-None-Match: W/{ETAG}", f"If-Modified-Since: {DATE}"):
            for method in ("GET", "HEAD"):
                response = self.ask("/a.txt", field, "Range: bytes=9-", method=method)
                self.assertEqual((response.status, response.body), (304, b""))
                self.assertEqual((response.getHeader("ETag"), response.getHeader("Last-Modified")), (ETAG, DATE))
                self.assertIsNone(response.getHeader("Content-Type"))

    def test_failed(self) -> None:
        for field in ('If-Match: "other"', "If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT"):
            self.assertEqual(self.ask("/a.txt", field).status, 412)
        self.assertEqual(self.ask("/a.txt", f"If-Match: {ETAG}").status, 200)

    def test_changed(self) -> None:
        """
        A nanosecond, or a byte, makes another ETag.
        """
        self.write("a.txt", b"hello!")
        self.assertEqual(self.ask("/a.txt", f"If-None-Match: {ETAG}").body, b"hello!")
        os.utime(self.write("a.txt", b"HELLO"), ns=(0, MODIFIED * 10**9 + 1))
        self.assertEqual(self.ask("/a.txt", f"If-None-Match: {ETAG}").body, b"HELLO")


class RangeTests(FilesCase):
    def test_one(self) -> None:
        for value, body, which in (
            ("0-0", b"h", "0-0"),
            ("1-3", b"ell", "1-3"),
            ("3-", b"lo", "3-4"),
            ("3-99", b"lo", "3-4"),
            ("-2", b"lo", "3-4"),
            ("4-4, 9-", b"o", "4-4"),
        ):
            response = self.ask("/a.txt", f"Range: bytes={value}")
            self.assertEqual((response.status, response.body), (206, body), value)
            self.assertEqual(response.getHeader("Content-Range"), f"bytes {which}/5")
            self.assertEqual((response.getHeader("ETag"), response.getHeader("Content-Length")), (ETAG, str(len(body))))

    def test_long(self) -> None:
        data = os.urandom(4 * PIECE)
        self.write("big", data)
        response = self.ask("/big", f"Range: bytes=7-{3 * PIECE + 7}")
        self.assertEqual((response.status, response.body), (206, data[7 : 3 * PIECE + 8]))

    def test_unsatisfiable(self) -> None:
        response = self.ask("/a.txt", "Range: bytes=5-")
        self.assertEqual((response.status, response.getHeader("Content-Range")), (416, "bytes */5"))

    def test_ignored(self) -> None:
        for value in ("bytes=4-3", "bytes=x", "lines=1-2", "bytes=0-4,0-4"):
            response = self.ask("/a.txt", f"Range: {value}")
            self.assertEqual((response.status, response.body), (200, b"hello"), value)

    def test_ifRange(self) -> None:
        for value, status in ((ETAG, 206), (DATE, 206), ('"other"', 200), ("Sun, 09 Sep 2001 01:46:41 GMT", 200)):
            response = self.ask("/a.txt", "Range: bytes=1-1", f"If-Range: {value}")
            self.assertEqual(response.status, status, value)
        # Not even 416: the range was for another file.
        self.assertEqual(self.ask("/a.txt", "Range: bytes=9-", 'If-Range: "other"').body, b"hello")

    def test_several(self) -> None:
        """
        As a parser of MIME reads it. RFC 9110 section 14.6
        """
        for size in (100, 3 * PIECE):
            data = os.urandom(size - 6) + b"\r\n--\r\n"
            self.write("big.bin", data)
            response = self.ask("/big.bin", f"Range: bytes=0-1, 9-{size - 20}, -6")
            self.assertEqual(response.status, 206)
            self.assertIsNone(response.getHeader("Content-Range"))
            head = f"Content-Type: {response.getHeader('Content-Type')}\r\n\r\n".encode()
            found = BytesParser().parsebytes(head + response.body)
            self.assertEqual(found.get_content_type(), "multipart/byteranges")
            boundary = found.get_boundary()
            assert boundary is not None
            parts = response.body.split(f"--{boundary}".encode())
            self.assertEqual((parts[0], parts[-1]), (b"", b"--\r\n"))
            for part, (start, stop) in zip(parts[1:-1], [(0, 2), (9, size - 19), (size - 6, size)], strict=True):
                head, _, rest = part.partition(b"\r\n\r\n")
                self.assertIn(f"\r\nContent-Range: bytes {start}-{stop - 1}/{size}".encode(), head)
                self.assertIn(b"\r\nContent-Type: application/octet-stream", head)
                self.assertEqual(rest, data[start:stop] + b"\r\n")


class DirectoryTests(FilesCase):
    def test_redirect(self) -> None:
        """
        To the slash. The place is relative, never another host's.
        """
        for name, place in {"sub": "./sub/", "a:b": "./a%3Ab/", "é ?": "./%C3%A9%20%3F/"}.items():
            (self.site / name).mkdir()
            path = "/" + place.removeprefix("./").removesuffix("/")
            response = self.ask(path)
            self.assertEqual((response.status, response.getHeader("Location")), (301, place))
        self.assertEqual(self.ask("/sub?a=1&b=//c").getHeader("Location"), "./sub/?a=1&b=//c")
        for path in ("//sub", "/\\sub", "//x/sub", "/%2Fsub"):
            self.assertStatus(404, path)

    def test_index(self) -> None:
        self.write("sub/index.html", b"<p>index")
        response = self.ask("/sub/")
        self.assertEqual((response.body, response.getHeader("Content-Type")), (b"<p>index", "text/html; charset=utf-8"))
        self.assertEqual(self.ask("/sub/", "Range: bytes=0-2").body, b"<p>")
        self.write("sub/main.txt", b"main")
        self.assertEqual(self.ask("/sub/", index=["nothing", "main.txt", "index.html"]).body, b"main")
        self.assertIn(b'"./index.html"', self.ask("/sub/", index=()).body)

    def test_noIndex(self) -> None:
        """
        A directory of that name is none, nor is a link that leads out.
        """
        (self.site / "index.html").mkdir()
        self.assertIn(b'"./index.html/"', self.ask("/").body)
        (self.site / "index.html").rmdir()
        (self.site / "index.html").symlink_to("../secret.txt")
        self.assertNotIn(SECRET, self.ask("/").body)

    def test_withoutListing(self) -> None:
        self.assertStatus(403, "/", listing=False)
        self.assertEqual(self.ask("/a.txt").body, b"hello")

    def test_page(self) -> None:
        for name, size in {
            "B": 1,
            "<script>&amp;\"'": 2048,
            "é x": 0,
            "javascript:alert(1)": 0,
            "back\\slash": 0,
        }.items():
            self.write(name, bytes(size))
        (self.site / "dir").mkdir()
        Path(os.fsdecode(os.fsencode(self.site) + b"/\xff<")).write_bytes(b"")
        response = self.ask("/")
        self.assertEqual(response.getHeader("Content-Type"), "text/html; charset=utf-8")
        self.assertIn("default-src 'none'", response.headers["Content-Security-Policy"])
        self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")
        text = response.body.decode()
        self.assertNotIn("<script>", text)
        self.assertNotIn("slash", text)
        self.assertNotIn("../", text)
        rows = [line for line in text.splitlines() if line.startswith("<tr><td>")]
        for row, (link, shown, size) in zip(
            rows,
            [
                ("./%3Cscript%3E%26amp%3B%22%27", "&lt;script&gt;&amp;amp;&quot;&#x27;", "2.0 KiB"),
                ("./B", "B", "1 B"),
                ("./a.txt", "a.txt", "5 B"),
                ("./dir/", "dir", ""),
                ("./javascript%3Aalert%281%29", "javascript:alert(1)", "0 B"),
                ("./%C3%A9%20x", "é x", "0 B"),
                ("./%FF%3C", "\ufffd&lt;", "0 B"),
            ],
            strict=True,
        ):
            self.assertIn(f'<a href="{link}"><bdi>{shown}</bdi>', row)
            self.assertIn(f"<td>{size}</td>", row)
        self.assertIn("<td>2001-09-09 01:46</td>", rows[2])
        # Each link leads where it says.
        for line in rows:
            path = line.split('"')[1].removeprefix(".")
            self.assertEqual(self.ask(path).status, 200, path)

    def test_pageBelow(self) -> None:
        self.write("sub/<x>/b.txt", b"")
        text = self.ask("/sub/%3Cx%3E/").body.decode()
        self.assertIn("<title>/sub/&lt;x&gt;/</title>", text)
        self.assertIn('<a href="../">', text)

    def test_longPages(self) -> None:
        """
        Sent in pieces, and bounded.
        """
        self.patch(page, "MOST", 500)
        for number in range(499):
            self.write(f"n{number:03}", b"")
        text = self.ask("/").body.decode()
        self.assertEqual(text.count("<tr><td>"), 500)
        self.assertNotIn("not shown", text)
        self.write("n499", b"")
        text = self.ask("/").body.decode()
        self.assertEqual(text.count("<tr><td>"), 500)
        self.assertIn("There are more than 500 files; the others are not shown.", text)
        self.assertEqual(self.ask("/", method="HEAD").status, 200)


class PrecompressedTests(FilesCase):
    def test_neighbours(self) -> None:
        packed = gzip.compress(b"hello")
        self.write("a.txt.gz", packed)
        self.write("a.txt.br", b"as brotli")
        plain = self.ask("/a.txt", "Accept-Encoding: gzip, br")
        self.assertEqual((plain.body, plain.getHeader("Vary")), (b"hello", None))
        self.show(precompressed=("br", "gzip"))
        for accepted, body, coding in (
            ("gzip", packed, "gzip"),
            ("gzip, br", b"as brotli", "br"),
            ("gzip, br;q=0.9", packed, "gzip"),
            ("zstd", b"hello", None),
            ("br;q=0", b"hello", None),
        ):
            response = self.ask("/a.txt", f"Accept-Encoding: {accepted}")
            self.assertEqual((response.body, response.getHeader("Content-Encoding")), (body, coding), accepted)
            self.assertEqual(response.getHeader("Vary"), "Accept-Encoding")
            self.assertEqual(response.getHeader("Content-Type"), "text/plain; charset=utf-8")
        response = self.ask("/a.txt", "Accept-Encoding: gzip", "Range: bytes=0-1")
        self.assertEqual((response.status, response.body), (206, packed[:2]))
        etag = self.ask("/a.txt", "Accept-Encoding: gzip").headers["ETag"]
        self.assertNotEqual(etag, ETAG)
        response = self.ask("/a.txt", "Accept-Encoding: gzip", f"If-None-Match: {etag}")
        self.assertEqual((response.status, response.getHeader("Vary")), (304, "Accept-Encoding"))
        # What is asked for by its own name is not unpacked on the way.
        response = self.ask("/a.txt.gz")
        self.assertEqual(
            (response.getHeader("Content-Type"), response.getHeader("Content-Encoding")), ("application/gzip", None)
        )

    def test_sameSizeAndTime(self) -> None:
        """
        Even then the two have different ETags.
        """
        self.write("a.txt.gz", b"12345")
        self.show(precompressed=["gzip"])
        self.assertNotEqual(self.ask("/a.txt", "Accept-Encoding: gzip").headers["ETag"], ETAG)

    def test_noNeighbour(self) -> None:
        """
        An older one, a directory, a link that leads out.
        """
        self.show(precompressed=["gzip"])
        old = self.write("a.txt.gz", b"old", MODIFIED - 1)
        self.assertEqual(self.ask("/a.txt", "Accept-Encoding: gzip").body, b"hello")
        old.unlink()
        old.mkdir()
        self.assertEqual(self.ask("/a.txt", "Accept-Encoding: gzip").body, b"hello")
        old.rmdir()
        old.symlink_to("../secret.txt")
        self.assertEqual(self.ask("/a.txt", "Accept-Encoding: gzip").body, b"hello")


class SendingTests(FilesCase):
    def setUp(self) -> None:
        super().setUp()
        self.data = os.urandom(16 * PIECE)
        self.path = self.write("big", self.data)
        self.show()
        self.before = descriptors()

    def test_noFasterThanTaken(self) -> None:
        """
        A client that takes nothing has a few pieces of the file wait for it, not all.
        """
        reads = []
        pread = os.pread

        def read(*arguments: Any) -> bytes:
            reads.append(arguments)
            return pread(*arguments)

        self.patch(os, "pread", read)
        peer = self.connect()
        peer.send(get("/big"))
        self.assertLess(len(reads), 8)
        self.assertEqual(descriptors(), self.before + 1)
        (response,) = parse(peer.take())
        self.assertEqual(response.body, self.data)
        self.assertEqual(descriptors(), self.before)

    def test_shorterMeanwhile(self) -> None:
        """
        The connection is reset, so that the client takes no part for the whole.
        """
        peer = self.connect()
        peer.send(get("/big"))
        os.truncate(self.path, PIECE)
        self.assertLess(len(peer.take()), len(self.data))
        self.assertReset(peer)
        (error,) = self.flushLoggedErrors(IncompleteRead)
        self.assertIn("'big' has become shorter while it was sent", str(error.value))
        self.assertEqual(descriptors(), self.before)

    def test_shortAndShorterMeanwhile(self) -> None:
        pread = os.pread
        self.patch(os, "pread", lambda descriptor, size, at: pread(descriptor, 2, at) if at < 2 else b"")
        self.assertEqual(self.ask("/a.txt").status, 500)
        self.assertEqual(len(self.flushLoggedErrors(IncompleteRead)), 1)

    def test_longerMeanwhile(self) -> None:
        """
        What has been announced is sent, and no more.
        """
        peer = self.connect()
        peer.send(get("/big"))
        with self.path.open("ab") as file:
            file.write(b"more")
        (response,) = parse(peer.take())
        self.assertEqual(response.body, self.data)

    def test_theClientGoes(self) -> None:
        peer = self.connect()
        peer.send(get("/big"))
        self.assertEqual(descriptors(), self.before + 1)
        peer.reset()
        self.assertEqual(descriptors(), self.before)
