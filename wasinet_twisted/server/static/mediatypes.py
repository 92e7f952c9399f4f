"""
What kind of content a file has, by its name.
"""

from __future__ import annotations

import mimetypes

# Compressed files are sent as what they are: with Content-Encoding, a client would unpack what somebody wants to keep.
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}
_UNKNOWN = "application/octet-stream"

# Text whose type doesn't begin with "text/". JSON is UTF-8 whatever the type says (RFC 8259 section 8.1).
_TEXT = frozenset(("application/javascript", "application/xhtml+xml", "application/xml"))


def typeOf(name: str, charset: str) -> str:
    """
    Return the Content-Type for a file, by C{mimetypes}.

    @param charset: what text is encoded in.
    """
    # With a slash it can't be taken for a URL such as data:text/html,x
    found, coding = mimetypes.guess_type(f"./{name}")
    if coding is not None:
        return _COMPRESSED.get(coding, _UNKNOWN)
    if found is None:
        return _UNKNOWN
    return f"{found}; charset={charset}" if found.startswith("text/") or found in _TEXT else found
