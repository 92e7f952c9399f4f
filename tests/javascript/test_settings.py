"""
What a program may connect to, and listen on.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.javascript.settings import Network, joined


class NetworkTests(SynchronousTestCase):
    def test_everything(self) -> None:
        network = Network()
        self.assertEqual(network.target("Example.org", 80), "Example.org:80")
        self.assertEqual(network.target("::1", 80), "[::1]:80")
        self.assertEqual(network.endpoint(8000), (8000, ""))
        self.assertIsNone(network.mayLookUp("example.org"))

    def test_moved(self) -> None:
        network = Network(
            connectTo={"Example.org:80": "127.0.0.1:1", "[::1]:80": "x:2"},
            listen={8000: "unix:/x"},
            interface="127.0.0.1",
        )
        for host, port, target in (
            ("example.org", 80, "127.0.0.1:1"),
            ("EXAMPLE.ORG.", 80, "127.0.0.1:1"),
            ("example.org", 81, "example.org:81"),
            ("::1", 80, "x:2"),
        ):
            self.assertEqual(network.target(host, port), target)
        self.assertEqual(network.endpoint(8000), ("unix:/x", ""))
        self.assertEqual(network.endpoint(8001), (8001, "127.0.0.1"))

    def test_allowed(self) -> None:
        """
        It is the name that the program gives which counts, not the address that stands for it.
        """
        network = Network(
            allowNet=["example.org", "Example.com:443", "[::1]:80", "::2", "*:53"],
            allowListen=[80],
            connectTo={"example.org:1": "evil.example:1", "other.example:1": "example.org:1"},
        )
        for host, port in (
            *(("example.org", 1), ("EXAMPLE.org.", 9), ("example.com", 443), ("::1", 80), ("::2", 7), ("x", 53)),
        ):
            network.target(host, port)
        self.assertEqual(network.target("example.org", 1), "evil.example:1")
        for host, port in (
            *(("example.com", 80), ("a.example.org", 1), ("example.org.evil", 1), ("::1", 81), ("other.example", 1)),
            *(("127.0.0.1", 1), ("evil.example", 1), ("*", 1), ("", 1)),
        ):
            error = self.assertRaises(InvalidArgument, network.target, host, port)
            self.assertEqual(str(error), f"connecting to {joined(host, port)} is not allowed: see --allow-net")
        self.assertEqual(network.endpoint(80), (80, ""))
        self.assertRaises(InvalidArgument, network.endpoint, 8000)

    def test_lookUp(self) -> None:
        """
        A name that may not be connected to isn't asked for either: questions tell something, too.
        """
        network = Network(allowNet=["example.org:80"])
        network.mayLookUp("Example.ORG.")
        for host in ("example.com", "secret.example.org", ""):
            self.assertRaises(InvalidArgument, network.mayLookUp, host)
        Network(allowNet=["*:80"]).mayLookUp("anything")
        self.assertRaises(InvalidArgument, Network(allowNet=[]).mayLookUp, "anything")

    def test_wrong(self) -> None:
        for wrong in ("", ":80", "x:", "x:0", "x:65536", "x:http", "x:+1", "x:\u0661", "[]:80", "."):
            self.assertRaises(InvalidArgument, Network, allowNet=[wrong])
