"""
What the generator makes messages of: what is usual, what is odd but valid, what is bad.

The usual ones stand several times: else few messages would get far enough to be
interesting. Of a size, C{%x} becomes the number.
"""

from __future__ import annotations

METHODS = (
    *(b"GET",) * 8, b"POST", b"POST", b"POST", b"POST", b"POST", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE",
    b"PATCH",
)  # fmt: skip
ODD_METHODS = (
    *(b"CONNECT",) * 8, b"get", b"FROB", b"M-SEARCH", b"PRI", b"!#$%&'*+-.^_`|~9", b"QUERY", b"G", b"GETS", b"TRACE",
)  # fmt: skip
TARGETS = (*(b"/",) * 6, b"/path?query=1&b", b"/a/b/c", b"/%20", b"http://b/c", b"http://b:80/?q")
ODD_TARGETS = (
    b"*", b'/|{}"<>\\^`[]', b"//x", b"http://b", b"HTTP://[::1]:8/", b"h+t-p.1://b/", b"https://b?q", b"a:1",
    b"b:443", b"[::1]:443", b"/?a?b/c", b"/~!$&'()*+,;=:@", b"http://b_c%41/", b"ws://b/",
)  # fmt: skip
BAD_TARGETS = (
    b"foo", b"/#x", b"/\x80", b"", b"/ ", b"http:///x", b"http:/x", b"http://u:p@b/", b"mailto:x@y", b"/\x7f", b"/\t",
    b"*x", b"b:0", b"b:65536", b":1", b"http://[::g]/", b"?q", b"http://b:x/", b"/\x00",
)  # fmt: skip
VERSIONS = (*(b"HTTP/1.1",) * 14, b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9")
BAD_VERSIONS = (
    b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/01.1", b"http/1.1", b"HTTP/1.", b"HTTP/11", b"HTTP/1.1 ",
    b"HTTP/1,1", b"", b"RTSP/1.0", b"ICE/1.0", b"HTTP /1.1", b"HTTP/3.1", b"HTTP/1.x",
)  # fmt: skip
HOSTS = (
    *(b"Host: a",) * 6, b"Host: a.example:8080", b"host:b", b"HOST:  [::1]:8 ", b"Host: a_b:", b"Host:", b"Host: %41",
)  # fmt: skip
BAD_HOSTS = (
    b"Host: a b", b"Host: a,b", b"Host: a/b", b"Host: u@a", b"Host: a:x", b"Host: [::1", b"Host: \x80", b"Host: a\tb",
    b"Host: [::g]", b"Host: a#", b"Host: a?b", b"Host: a:80:80", b"Host: [v1.a]", b"Host: a\\b",
)  # fmt: skip
FIELDS = (
    b"Accept: */*", b"User-Agent: x/1.0 (y; z)", b"X: ", b"X:", b"X:y", b"x-y:\t z \t", b"Cookie: a=b; c=d",
    b"A: b, c", b"Connection: close", b"Connection: keep-alive", b"TE: trailers", b"Obs: \xe9\xff\x80", b'Q: "a,b"',
    b"A: b:c", b"Set-Cookie: a=b", b"Set-Cookie: c=d; Path=/", b"Upgrade: h2c", b"Expect: 100-continue",
    b"!#$%&'*+-.^_`|~9: z", b"Trailer: X", b"A: a \t b", b"Content-Type: text/plain", b"Keep-Alive: timeout=5",
    b"Proxy-Connection: x",
)  # fmt: skip
ODD_FIELDS = (
    b"Connection: upgrade\r\nUpgrade: websocket", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c",
    b"Connection: close, x", b"Connection: ,", b"Connection:", b"Content-Lengthy: 5", b"XTransfer-Encoding: chunked",
    b"Transfer_Encoding: chunked", b"Content_Length: 5", b"Upgrade: x\r\nConnection: close, upgrade", b"Hosts: a b",
)  # fmt: skip
BAD_FIELDS = (
    b": x", b"X y: z", b"X : z", b"X\t: z", b"X", b" X: y", b"\tX: y", b"X: y\r\n z", b"X: y\r\n\tz", b"X: y\r\n ",
    b"X: a\x00b", b"X: a\x01b", b"X: a\x7fb", b"X: a\x0bb", b"X: a\x0c", b"X: a\rb", b"X: a\nb", b"X\x80: y",
    b"X\x00: y", b"(X): y", b"X=y: z", b"\x0bX: y", b"X: \x85", b"X: \r", b"X\r: y", b"X\n: y", b'"X": y', b"X: y\r",
    b"X:y\r\n\r", b"X: \x0b", b"\x00", b"X: y\r\n :z", b"X: \x0cz", b"X;y: z", b"X: y\r\n  z \r\n\t\tq", b"X: \r\n y",
    b"[X: y", b"X: y\r\n\x0bz", b"X: \x1f", b"X/: y",
)  # fmt: skip
LENGTHS = (b"Content-Length: ", b"Content-Length:", b"content-length:\t", b"CONTENT-LENGTH: ")
BAD_LENGTHS = (
    b"+5", b"-0", b"-5", b"0x5", b"1_0", b"5 5", b"5,5", b"5, 5", b"5, 6", b"", b"5.0", b"\xef\xbc\x95", b"5;", b"5,",
    b",5", b"a", b"18446744073709551615", b"18446744073709551616", b"9223372036854775808", b"99999999999999999999",
    b"00000000000000000000005", b"0000000000000000005", b"4294967301", b"\x0b5", b"5\x0c", b"5\r\n 5", b"5\r\n ",
    b"\r\n 5", b"5\x00", b"1e1", b'"5"', b"\xb2", b"1" * 400, b"1" * 5000,
)  # fmt: skip
CODINGS = (
    *(b"Transfer-Encoding: chunked",) * 6, b"transfer-encoding:chunked", b"Transfer-Encoding: Chunked",
    b"TRANSFER-ENCODING:\tCHUNKED \t",
)  # fmt: skip
BAD_CODINGS = (
    b"identity", b"", b"chunked, chunked", b"chunked,chunked", b"xchunked", b"chunkedx", b"gzip", b"gzip, chunked",
    b"chunked, gzip", b"chunked;q=1", b"chun\xc4\xb1ked", b"chun\xe2\x84\xaaed", b"\x0bchunked", b"chunked\x0c",
    b"chunked,", b",chunked", b"chunked, identity", b"identity, chunked", b"x, chunked", b"\r\n chunked",
    b"chunked\r\n ", b"chunked\r\n x", b"gzip\r\n , chunked", b'"chunked"', b"chunked\x00", b"chunked chunked",
    b"deflate,gzip, chunked", b"x-gzip;a=b, chunked", b"chunked \x00", b" , chunked", b"cow", b"chunked\r\n , gzip",
)  # fmt: skip
STATUSES = (
    *(b"200",) * 10, b"404", b"500", b"204", b"304", b"205", b"206", b"100", b"103", b"101", b"102", b"301", b"599",
)  # fmt: skip
BAD_STATUSES = (
    b"099", b"600", b"999", b"000", b"20", b"2000", b"2x0", b"", b"-20", b" 200", b"20\x00", b"700", b"020",
)  # fmt: skip
REASONS = (
    *(b" OK",) * 6, b"", b" ", b" Not Found", b" \xe9\xff", b" a  b ", b" \t", b"  OK", b" \x80", b" 200",
)  # fmt: skip
BAD_REASONS = (
    b"OK", b" a\x00", b" a\x7f", b" a\rb", b" a\nb", b" \x0b", b"\tOK", b" OK\r", b"\x0cOK", b" a\x1b[0m", b".1 OK",
)  # fmt: skip
BODIES = (
    b"hello", b"x", b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"0\r\n\r\n", b"\r\n", b"hello world",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"5\r\n", b"\x00\xff",
)  # fmt: skip
SIZES = (b"%x", b"%X", b"0%x", b"%016x", b"%x", b"%x", b"%x")
BAD_SIZES = (
    b"0x%x", b"+%x", b"-%x", b" %x", b"%x ", b"%x\t", b"%x_0", b"", b"%017x", b"%020x", b"%021x", b"%xg", b"%x\r",
    b"%x\n", b"ffffffffffffffff%x", b"%x\x00", b"\xef\xbc\x95%x", b"%x.", b"%x,", b"%x %x", b"1%016x", b"0_%x",
    b"%xh", b"8000000000000000%x", b"\t%x", b"%x \r", b"%x\x0b",
)  # fmt: skip
EXTENSIONS = (
    *(b"",) * 6, b";a", b";a=b", b';a="b"', b";a=b;c=d", b';a="\\"b;\\\\"', b';a="b c\t\xe9"', b";!#$%&'*+-.^_`|~9=z",
)  # fmt: skip
BAD_EXTENSIONS = (
    b";", b";;a", b";a=", b"; a = b", b" ;a", b"\t; a", b';a="', b";a=b c", b";a b", b";a=\x80", b";a\x00", b";a\r",
    b";a\n", b';a="b\nc"', b';a="b\rc"', b";a=b=c", b";a ", b";a;", b"a", b",a", b'; a="b', b';a="\x00"', b'";a',
    b';a="b"c', b";\x0ba", b';a="b"\x7f', b";=b", b';a="\\\x7f"', b";a=b\t", b" ", b'; a="b" ; c', b";a\t=\tb",
)  # fmt: skip
TRAILERS = (b"X: y", b"X-Sum:abc", b'Etag: "x"', b"Server-Timing: a;dur=1", b"X:")
BAD_TRAILERS = (
    b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: a", b"Content-Type: x", b"If-Match: *", b"X : y",
    b"X", b"X: \x00", b" x", b"X: y\r\n z", b": x", b"Trailer: x", b"Cookie: a", b"X: y\rz", b"X: y\nz", b"TE: x",
    b"content-length: x", b"Connection: close", b"X: \x01", b"Set-Cookie: a=b", b"X: y\r\n ",
)  # fmt: skip
ENDS = (
    b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n\r\n", b" \r\n", b"\x00\r\n", b"\n\n", b"\x0b", b"\r\n ",
    b"\x85\r\n",
)  # fmt: skip
INSERTS = (
    b"\r", b"\n", b"\x00", b" ", b"\t", b"\r\n", b"\r\n\r\n", b":", b",", b";", b'"', b"\\", b"#", b"\x0b", b"\x0c",
    b"\x7f", b"\x80", b"\xff", b"0", b"5", b"+", b"-", b"x", b"_", b"f", b"HTTP/1.1", b"chunked", b"\r\n ", b"\r\n\t",
    b"\n\n", b"\r\r\n", b"\r\nContent-Length: 5", b"\r\nTransfer-Encoding: chunked", b"\r\nHost: b", b"0\r\n\r\n",
    b"\r\n0\r\n", b"*", b"/", b"[", b"]", b"@", b"%", b"?", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x1f", b"\x01",
    b"\x85", b"\xa0", b"=",
)  # fmt: skip
ANSWERED = (*("GET",) * 8, "POST", "HEAD", "HEAD", "CONNECT")
FAULTS = (
    "start", "host", "length", "coding", "both", "twice", "field", "field", "end", "blank", "chunk", "chunk",
    "trailer",
)  # fmt: skip
