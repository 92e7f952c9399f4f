"""
The header of the PROXY protocol, version 1 (text) and 2 (binary): how long it is, and which addresses it names.

U{https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt}
"""

from __future__ import annotations

import re
import struct
from typing import Literal

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

# The source and the destination; None where the header names none.
Addresses = tuple[IAddress | None, IAddress | None]

# How many bytes the header may have: section 2.1 has 107 for version 1; the fields of version 2 (2.2) are small but for
# the extensions.
_LONGEST_V1 = 107
_LONGEST_V2 = 16 + 2048

_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [\x21-\x7e ]*)?|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]{1,5}) ([0-9]{1,5}))\Z"
)

# Version 2 begins with this, a byte of version and command, one of family and protocol, and the size of what follows.
_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_VERSION = 0x20
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _INET, _INET6, _UNIX = 0x00, 0x10, 0x20, 0x30
_STREAM, _DATAGRAM = 1, 2
_FORMATS = {_INET: "!4s4s2H", _INET6: "!16s16s2H", _UNIX: "!108s108s"}


class MalformedHeader(ValueError):
    """
    What came is no header of the PROXY protocol, and says why.
    """


def sizeOf(data: bytes) -> int | None:
    """
    Return how long the header is that C{data} begins with, or None if that can't be seen yet.

    @raise MalformedHeader: it begins with none, or one that is too long.
    """
    if data[: len(_V2_SIGNATURE)] == _V2_SIGNATURE[: len(data)]:
        if len(data) < 16:
            return None
        size: int = 16 + struct.unpack("!H", data[14:16])[0]
        if size > _LONGEST_V2:
            raise MalformedHeader(f"it has {size} bytes, the bound is {_LONGEST_V2}")
        return size if len(data) >= size else None
    if data[:6] != b"PROXY "[: len(data)]:
        raise MalformedHeader(f"the connection begins with {data[:16]!r}")
    end = data.find(b"\r\n", 0, _LONGEST_V1)
    if end < 0 and len(data) >= _LONGEST_V1:
        raise MalformedHeader(f"no line of at most {_LONGEST_V1} bytes")
    return None if end < 0 else end + 2


def addressesOf(header: bytes) -> Addresses:
    """
    Return whom a whole header names.

    @raise MalformedHeader: it is malformed.
    """
    return _ofText(header[:-2]) if header.startswith(b"PROXY") else _ofBinary(header)


def _ofText(line: bytes) -> Addresses:
    match = _V1.match(line)
    if match is None:
        raise MalformedHeader(f"malformed: {line!r}")
    if match[1] is None:
        # UNKNOWN. What may follow is to be ignored, and needn't follow, as Twisted's parser has it.
        return None, None
    hosts = [host.decode("ascii") for host in match.group(2, 3)]
    ports = [int(port) for port in match.group(4, 5)]
    kind, valid = (IPv4Address, isIPAddress) if match[1] == b"4" else (IPv6Address, isIPv6Address)
    if not all(map(valid, hosts)) or max(ports) > 65535:
        raise MalformedHeader(f"malformed: {line!r}")
    source, destination = (kind("TCP", host, port) for host, port in zip(hosts, ports, strict=True))
    return source, destination


def _ofBinary(header: bytes) -> Addresses:
    version, command = header[12] & 0xF0, header[12] & 0x0F
    if version != _VERSION or command not in (_LOCAL, _PROXY):
        raise MalformedHeader(f"malformed: version and command are {header[12]:#04x}")
    if command == _LOCAL:
        return None, None
    family, protocol = header[13] & 0xF0, header[13] & 0x0F
    if family not in (_UNSPECIFIED, *_FORMATS) or protocol not in (0, _STREAM, _DATAGRAM):
        raise MalformedHeader(f"malformed: family and protocol are {header[13]:#04x}")
    if family == _UNSPECIFIED or not protocol:
        return None, None
    layout = _FORMATS[family]
    # Extensions may follow.
    if len(header) < 16 + struct.calcsize(layout):
        raise MalformedHeader(f"malformed: {len(header)} bytes are too few for the addresses")
    source, destination, *ports = struct.unpack_from(layout, header, 16)
    if family == _UNIX:
        return UNIXAddress(source.rstrip(b"\0")), UNIXAddress(destination.rstrip(b"\0"))
    kind: Literal["TCP", "UDP"] = "TCP" if protocol == _STREAM else "UDP"
    if family == _INET:
        return IPv4Address(kind, _dotted(source), ports[0]), IPv4Address(kind, _dotted(destination), ports[1])
    return IPv6Address(kind, _hex(source), ports[0]), IPv6Address(kind, _hex(destination), ports[1])


def _dotted(address: bytes) -> str:
    return ".".join(map(str, address))


def _hex(address: bytes) -> str:
    return ":".join(f"{group:x}" for group in struct.unpack("!8H", address))
