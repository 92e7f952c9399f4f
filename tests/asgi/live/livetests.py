"""
What Channels' live server case is used for: a Django project in a process of its own, and real clients.

Channels' own tests of it are in no source distribution and drive a browser.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from channels.testing import ChannelsLiveServerTestCase
from django.contrib.auth import get_user_model
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

PATIENCE = 10.0


def get(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """
    Return the status and the body of a response.
    """
    try:
        with urlopen(Request(url, body), timeout=PATIENCE) as response:
            return response.status, response.read()
    except HTTPError as error:
        return error.code, error.read()


class LiveServerTests(ChannelsLiveServerTestCase):
    """
    A page, a static file, the database, and WebSockets.
    """

    host = "127.0.0.1"

    def webSocket(self, path: str, **more: Any) -> Any:
        """
        Connect a WebSocket, as a page of the server's own would.
        """
        return connect(self.live_server_ws_url + path, origin=self.live_server_url, open_timeout=PATIENCE, **more)

    def test_page(self) -> None:
        self.assertEqual(get(self.live_server_url + "/hello/?name=you"), (200, b"hello you"))

    def test_missingPage(self) -> None:
        self.assertEqual(get(self.live_server_url + "/nothing/")[0], 404)

    def test_brokenPage(self) -> None:
        status, body = get(self.live_server_url + "/broken/")
        self.assertEqual(status, 500)
        self.assertIn(b"the view is broken", body)

    def test_body(self) -> None:
        self.assertEqual(get(self.live_server_url + "/length/", b"x" * 1_000_000), (200, b"1000000"))

    def test_streamedPage(self) -> None:
        self.assertEqual(get(self.live_server_url + "/streamed/"), (200, b"0;1;2;"))

    def test_staticFile(self) -> None:
        status, body = get(self.live_server_url + "/static/live.css")
        self.assertEqual((status, b"color" in body), (200, True))

    def test_database(self) -> None:
        """
        The server sees the test's database, and it is empty again in the next test.
        """
        self.assertEqual(json.loads(get(self.live_server_url + "/users/")[1]), {"users": []})
        get_user_model().objects.create_user("one")
        self.assertEqual(json.loads(get(self.live_server_url + "/users/")[1]), {"users": ["one"]})

    test_databaseAgain = test_database

    def test_echo(self) -> None:
        with self.webSocket("/echo/") as client:
            for message in ("text", b"bytes", "\N{SNOWMAN}" * 20_000, b"x" * 200_000):
                client.send(message)
                self.assertEqual(client.recv(PATIENCE), message)

    def test_subprotocol(self) -> None:
        with self.webSocket("/echo/", subprotocols=["other", "chat"]) as client:
            self.assertEqual(client.subprotocol, "chat")

    def test_closeCode(self) -> None:
        with self.webSocket("/echo/") as client:
            client.send("close")
            with self.assertRaises(ConnectionClosed) as caught:
                client.recv(PATIENCE)
        self.assertEqual(caught.exception.rcvd.code, 4001)

    def test_refused(self) -> None:
        with self.assertRaises(InvalidStatus) as caught:
            self.webSocket("/no/")
        self.assertEqual(caught.exception.response.status_code, 403)

    def test_foreignOrigin(self) -> None:
        with self.assertRaises(InvalidStatus) as caught:
            connect(self.live_server_ws_url + "/echo/", origin="http://elsewhere.example")
        self.assertEqual(caught.exception.response.status_code, 403)

    def test_user(self) -> None:
        """
        A WebSocket has the user of the session.
        """
        client = Client()
        client.force_login(get_user_model().objects.create_user("one"))
        cookie = f"sessionid={client.cookies['sessionid'].value}"
        with self.webSocket("/who/", additional_headers={"Cookie": cookie}) as socket:
            self.assertEqual(json.loads(socket.recv(PATIENCE)), {"user": "one"})

    def test_group(self) -> None:
        with self.webSocket("/who/") as one, self.webSocket("/who/") as two:
            self.assertEqual(json.loads(one.recv(PATIENCE)), {"user": ""})
            self.assertEqual(json.loads(two.recv(PATIENCE)), {"user": ""})
            one.send('{"said": 1}')
            self.assertEqual(json.loads(two.recv(PATIENCE)), {"said": 1})
