"""
A server of WebSocket echoes, right or wrong, for the tests of the benchmarks' load.

    python -m tests.loadpeer PORT KIND

Kinds:
    - C{right}: each echo comes back whole; C{pieces}: in two writes
    - C{refuses}: the handshake is answered with 403; C{key}: with another Sec-WebSocket-Accept
    - C{early}: a ping comes together with the answer to the handshake
    - C{changed}: an echo's last byte is another one; C{masked}: an echo has a mask
    - C{more}: a ping comes together with an echo

A connection ends at what is no handshake, or no masked frame of text.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import time
from base64 import b64encode
from itertools import cycle
from threading import Thread
from typing import BinaryIO

_PING = b"\x89\x00"


def accept(head: bytes) -> bytes:
    """
    Return the answer to a handshake (RFC 6455 section 4.2.2).
    """
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    assert fields[b"Upgrade"] == b"websocket", head
    assert fields[b"Connection"] == b"Upgrade", head
    assert fields[b"Sec-WebSocket-Version"] == b"13", head
    assert b"Sec-WebSocket-Extensions" not in fields, head
    key = fields[b"Sec-WebSocket-Key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accepted = b64encode(hashlib.sha1(key).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
    )


def readText(frames: BinaryIO) -> bytes | None:
    """
    Return the text of the next frame, L{None} at the end (RFC 6455 section 5.2).
    """
    head = frames.read(2)
    if not head:
        return None
    assert head[0] == 0x81, head
    assert head[1] & 0x80, head
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(frames.read(2), "big")
        assert size > 125
    mask = frames.read(4)
    text = bytes(byte ^ key for byte, key in zip(frames.read(size), cycle(mask)))
    assert text.isalpha(), text
    return text


def echo(conn: socket.socket, kind: str) -> None:
    """
    Serve a connection.
    """
    with conn, conn.makefile("rb") as stream:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                # Somebody has looked whether the server listens.
                return
            head += line
        answer = accept(head)
        if kind == "refuses":
            answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
        elif kind == "key":
            answer = answer.replace(b"Accept: ", b"Accept: A")
        conn.sendall(answer + (_PING if kind == "early" else b""))
        while (text := readText(stream)) is not None:
            if kind == "changed":
                text = text[:-1] + b"-"
            size = len(text)
            length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
            if kind == "masked":
                length = bytes((length[0] | 0x80,)) + length[1:] + bytes(4)
            frame = b"\x81" + length + text
            if kind == "more":
                frame += _PING
            if kind == "pieces":
                conn.sendall(frame[:3])
                time.sleep(0.001)
                frame = frame[3:]
            conn.sendall(frame)


def main(port: int, kind: str) -> None:
    """
    Serve until somebody ends the process.
    """
    with socket.create_server(("127.0.0.1", port)) as listening:
        while True:
            conn, _ = listening.accept()
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Thread(target=echo, args=(conn, kind), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
