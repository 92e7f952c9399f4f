"""
The productions of RFC 9110 and RFC 9112 that we parse, as compiled patterns.

Three rules hold for every one of them:

 - bytes in, bytes out: nothing is decoded, folded or stripped before a pattern
   has matched;
 - they are anchored at both ends (C{fullmatch}), so that no trailing newline
   slips through as it does with C{$};
 - quantifiers are possessive (C{++}, C{*+}) wherever they stand in a row, so
   that no input makes the matcher go back: time is linear in the line.
"""

from __future__ import annotations

import re

# RFC 9110 section 5.6.2: token = 1*tchar
_TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN = _TCHAR + rb"++"
# RFC 9110 section 5.5: field-vchar and obs-text, with SP and HTAB between them.
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
# RFC 9110 section 5.6.4: quoted-string
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'

# RFC 3986 section 3.2.2: host, as an Internet name, IPv4 address or bracketed literal. The name may be empty.
_REG_NAME = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+"
_LITERAL = rb"\[(?:[0-9A-Fa-f:.]++|[vV][0-9A-Fa-f]++\.[A-Za-z0-9\-._~!$&'()*+,;=:]++)\]"
_HOST = rb"(" + _LITERAL + rb"|" + _REG_NAME + rb")"

token = re.compile(_TOKEN).fullmatch

# RFC 9112 section 3. Any visible ASCII character is taken in a target but "#" (a fragment is never sent,
# RFC 9110 section 7.1): curl and others send some that RFC 3986 would have them encode.
requestLine = re.compile(rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e]++) (HTTP/[0-9]\.[0-9])").fullmatch
target = re.compile(rb"[\x21\x22\x24-\x7e]++").fullmatch
# RFC 9112 section 3.2.2; only forms with an authority make sense to a server or a proxy.
absoluteTarget = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*+://([^/?]*+).*+").fullmatch
# RFC 9112 section 3.2.3 and RFC 9110 section 9.3.6: the port may not be left out.
authorityTarget = re.compile(_HOST + rb":([0-9]{1,5})").fullmatch

# RFC 9112 section 4. An empty reason is in the grammar; that the SP before it is missing too is common and harmless.
statusLine = re.compile(rb"(HTTP/[0-9]\.[0-9]) ([1-5][0-9]{2})(?: (" + _VALUE + rb"))?").fullmatch
reason = re.compile(_VALUE).fullmatch

# RFC 9112 section 2.3: HTTP-version is case-sensitive
version = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch

# RFC 9112 section 5: field-line. The value keeps its trailing white space: the caller takes off SP and HTAB.
fieldLine = re.compile(rb"(" + _TOKEN + rb"):[\t ]*+(" + _VALUE + rb")").fullmatch
fieldValue = re.compile(_VALUE).fullmatch

# RFC 9110 section 7.2: Host = uri-host [ ":" port ]
host = re.compile(_HOST + rb"(?::([0-9]*+))?").fullmatch

# RFC 9110 section 8.6, RFC 9112 section 6.3. 19 digits are below 2**64; int() itself refuses above 4,300.
contentLength = re.compile(rb"[0-9]{1,19}").fullmatch

# RFC 9112 section 7.1: chunk-size, at most 16 digits (2**64 - 1)
chunkSize = re.compile(rb"[0-9A-Fa-f]{1,16}+").match
# RFC 9112 section 7.1.1: chunk-ext, with the BWS of RFC 9110 section 5.6.3
chunkExtensions = re.compile(
    rb"(?:[\t ]*+;[\t ]*+" + _TOKEN + rb"(?:[\t ]*+=[\t ]*+(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?+)*+"
).fullmatch

# RFC 9110 section 5.6.6: parameters, as Content-Type has them after its type
parameter = re.compile(rb"[\t ]*+;[\t ]*+(?:(" + _TOKEN + rb")=(" + _TOKEN + rb"|" + _QUOTED + rb"))?+").match
mediaType = re.compile(rb"[\t ]*+" + _TOKEN + rb"/" + _TOKEN).match
