"""
What the status page's handler answers, without a browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from importlib.metadata import metadata
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from tests.server.test_accesslog import parsed
from wasinet_twisted import __version__, speed
from wasinet_twisted.errors import InvalidArgument
from wasinet_twisted.http import WasiRequest, WasiResponse
from wasinet_twisted.server import Readiness, Statistics, StatusApp


class StatusCase(SynchronousTestCase):
    """
    A status page of a server that has done something.
    """

    def setUp(self) -> None:
        self.statistics = Statistics()
        self.app = StatusApp(
            self.statistics, {"body": 1000, "maxConnections": None}, name="a server", hosts=["example.org"]
        )
        for _ in range(3):
            self.statistics.opened()
        self.statistics.closed()
        for status, seconds in ((200, 0.0005), (200, 0.001), (404, 0.004), (500, 90)):
            self.statistics.requests += 1
            self.statistics.bytesReceived += 100
            self.statistics.answered(status, seconds, 1000)
        self.statistics.requests += 1
        self.statistics.refused(408, "head timeout")
        self.statistics.dropped("idle")

    def get(self, uri: str, method: str = "GET") -> WasiResponse:
        response = self.app(WasiRequest(method, uri))
        # It can be sent.
        response.encode(method)
        self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(response.headers["Cache-Control"], "no-store")
        return response


class RoutingTests(StatusCase):
    def test_targets(self) -> None:
        for uri, contentType in (
            ("/", "text/html; charset=utf-8"),
            ("/?a=1", "text/html; charset=utf-8"),
            ("http://example.org", "text/html; charset=utf-8"),
            ("http://example.org/status.json?x", "application/json"),
            ("/status.json", "application/json"),
            ("/status.json?now", "application/json"),
        ):
            response = self.get(uri)
            self.assertEqual((response.status, response.headers["Content-Type"]), (200, contentType), uri)

    def test_nothingThere(self) -> None:
        for uri in ("/status", "//", "/index.html", "*", "/metrics/", "/status%2ejson", "/x?/", "status.json"):
            self.assertEqual(self.get(uri).status, 404, uri)

    def test_aHeadFromTheWire(self) -> None:
        """
        Any request head does, not only a whole request.
        """
        response = self.app(parsed(b"GET /status.json HTTP/1.1\r\nHost: example.org\r\n\r\n"))
        self.assertEqual(response.status, 200)

    def status(self, host: str | None, uri: str = "/", app: StatusApp | None = None) -> int:
        return (app or self.app)(WasiRequest("GET", uri, {} if host is None else {"Host": host})).status

    def test_hosts(self) -> None:
        """
        A page on the web may have its own name resolve to our address: only an address, localhost, and the names that
        are given are answered.
        """
        for allowed in (
            *("localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.0.0.1:80", "192.0.2.1:", "[::1]:9000"),
            *("[2001:db8::1]", "example.org", "Example.Org.:443", None),
        ):
            self.assertEqual(self.status(allowed), 200, allowed)
        for other in (
            *("evil.example", "evil.example:80", "localhost.evil.example", "www.example.org", "example.org.evil", ""),
            *("127.0.0.1.evil.example", "[evil.example]", "[127.0.0.1]", "::1", "0x7f.1", "localhost:80:80", "com"),
        ):
            for uri in ("/", "/status.json", "/metrics", "/nothing"):
                self.assertEqual(self.status(other, uri), 403, other)

    def test_hostOfATargetInAbsoluteForm(self) -> None:
        """
        It is what counts. RFC 9112 section 3.2.2.
        """
        self.assertEqual(self.status("localhost", "http://evil.example/"), 403)
        self.assertEqual(self.status("evil.example", "http://localhost:80?x"), 200)

    def test_refusalSaysWhatToDo(self) -> None:
        response = self.app(WasiRequest("GET", "/", {"Host": "evil.example"}))
        self.assertEqual(
            response.text(),
            "the status page doesn't answer to the name 'evil.example'; ask for localhost or an IP address, "
            "or allow the name: --status-host NAME, StatusApp(hosts=[...])\n",
        )
        self.assertEqual(response.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertLess(len(self.app(WasiRequest("GET", "/", {"Host": "x" * 5000})).body), 500)

    def test_anyHost(self) -> None:
        self.assertEqual(self.status("evil.example", app=StatusApp(self.statistics, hosts=None)), 200)

    def test_noSuchHost(self) -> None:
        for name in ("a:80", "", "[::1]", "a/b"):
            self.assertRaises(InvalidArgument, StatusApp, self.statistics, hosts=[name])

    def test_methods(self) -> None:
        for uri in ("/", "/status.json", "/metrics"):
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
                response = self.get(uri, method)
                self.assertEqual((response.status, response.headers["Allow"]), (405, "GET, HEAD"))
            self.assertNotIn("Allow", self.get(uri).headers)
        self.assertEqual(self.get("/nothing", "POST").status, 404)

    def test_head(self) -> None:
        """
        The same fields, and no body.
        """
        for uri in ("/", "/metrics"):
            whole, _, body = self.get(uri).encode().partition(b"\r\n\r\n")
            head, _, rest = self.get(uri, "HEAD").encode("HEAD").partition(b"\r\n\r\n")
            self.assertEqual(rest, b"")
            self.assertIn(b"Content-Length: %d" % len(body), whole)
            # The metrics of the process may have another digit meanwhile.
            self.assertEqual(re.sub(rb"(Length:) \d+", rb"\1", head), re.sub(rb"(Length:) \d+", rb"\1", whole))


class ProbeTests(StatusCase):
    """
    What load balancers and supervisors ask for.
    """

    def probe(self, uri: str, app: StatusApp) -> tuple[int, str]:
        response = app(WasiRequest("GET", uri))
        self.assertEqual(response.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(response.headers["Cache-Control"], "no-store")
        return response.status, response.text()

    def test_states(self) -> None:
        readiness = Readiness()
        app = StatusApp(self.statistics, readiness=readiness)
        self.assertEqual(self.probe("/readyz", app), (503, "starting\n"))
        readiness.state = "ready"
        self.assertEqual(self.probe("/readyz?x", app), (200, "ready\n"))
        readiness.state = "draining"
        self.assertEqual(self.probe("/readyz", app), (503, "draining\n"))
        self.assertEqual(self.probe("/healthz", app), (200, "ok\n"))

    def test_withoutAService(self) -> None:
        self.assertEqual(self.probe("/readyz", self.app), (200, "ready\n"))

    def test_anyHost(self) -> None:
        """
        They tell nothing that a page on the web could not know: load balancers may ask with any name.
        """
        for host in ("evil.example", "10.0.0.7:9000", "", None):
            for uri in ("/healthz", "/readyz", "http://evil.example/healthz"):
                headers = {} if host is None else {"Host": host}
                self.assertEqual(self.app(WasiRequest("GET", uri, headers)).status, 200, (host, uri))

    def test_methods(self) -> None:
        for uri in ("/healthz", "/readyz"):
            self.assertEqual(self.get(uri, "HEAD").status, 200)
            self.assertEqual(self.get(uri, "POST").status, 405)


class PageTests(StatusCase):
    def setUp(self) -> None:
        super().setUp()
        self.response = self.get("/")
        self.text = self.response.text()
        self.policy = dict(
            part.strip().split(" ", 1) for part in self.response.headers["Content-Security-Policy"].split(";")
        )

    def test_hashes(self) -> None:
        """
        The policy lets run what is in the page, and nothing else.
        """
        for tag in ("script", "style"):
            (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", self.text, re.DOTALL)
            self.assertGreater(len(content), 1000)
            digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode()
            self.assertEqual(self.policy[f"{tag}-src"], f"'sha256-{digest}'")
            self.assertEqual(len(re.findall(f"<{tag}", self.text)), 1)

    def test_policy(self) -> None:
        for part in ("default-src", "base-uri", "form-action", "frame-ancestors"):
            self.assertEqual(self.policy[part], "'none'")
        self.assertEqual(self.policy["connect-src"], "'self'")
        self.assertNotIn("unsafe", str(self.policy))

    def test_nothingFromElsewhere(self) -> None:
        """
        Nor anything that the policy would stop.
        """
        self.assertEqual(set(re.findall(r"https?://[^/'\"]+", self.text)), {"http://www.w3.org"})
        self.assertNotRegex(self.text, r"\sstyle=|\son\w+=|javascript:|innerHTML")

    def test_noFiguresInThePage(self) -> None:
        """
        They come as JSON; so no value needs to be quoted for HTML.
        """
        self.assertNotIn("a server", self.text)
        self.assertEqual(StatusApp(Statistics())(WasiRequest()).body, self.response.body)


class JsonTests(StatusCase):
    def test_content(self) -> None:
        content = self.get("/status.json").json()
        self.assertEqual((content["name"], content["version"]), ("a server", __version__))
        self.assertEqual(content["limits"], {"body": 1000, "maxConnections": None})
        self.assertEqual(content["connections"], {"open": 2, "accepted": 3})
        self.assertEqual(content["requests"], {"total": 5, "inFlight": 1, "abandoned": 0})
        self.assertEqual(content["statuses"], {"200": 2, "404": 1, "408": 1, "500": 1})
        self.assertEqual(content["refused"], [{"status": 408, "reason": "head timeout", "count": 1}])
        self.assertEqual(content["dropped"], {"idle": 1})
        self.assertEqual(content["speed"], str(speed()))
        self.assertEqual(set(content), {"name", "version", "speed", "limits", *self.statistics.snapshot()})

    def test_current(self) -> None:
        self.get("/status.json")
        self.statistics.opened()
        self.assertEqual(self.get("/status.json").json()["connections"]["open"], 3)

    def test_bare(self) -> None:
        """
        No limits, and no answers yet: still JSON, of which NaN is no part.
        """
        content = StatusApp(Statistics(), version="2")(WasiRequest("GET", "/status.json")).text()
        self.assertEqual(json.loads(content, parse_constant=self.fail)["limits"], {})
        self.assertIn('"version":"2"', content)

    def test_anyLimit(self) -> None:
        """
        What JSON doesn't know is shown as text.
        """
        app = StatusApp(Statistics(), {"ciphers": {"A"}, "idle": 1.5})
        self.assertEqual(app(WasiRequest("GET", "/status.json")).json()["limits"], {"ciphers": "{'A'}", "idle": 1.5})


class MetricsTests(StatusCase):
    def samples(self) -> dict[tuple[str, ...], float]:
        """
        As Prometheus' own parser reads it: the values, by name and labels' values.
        """
        response = self.get("/metrics")
        self.assertEqual(response.status, 200)
        self.assertTrue(response.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        found = {}
        for family in text_string_to_metric_families(response.text()):
            for sample in family.samples:
                key = sample.name, *(sample.labels[label] for label in sorted(sample.labels, reverse=True))
                self.assertNotIn(key, found)
                found[key] = sample.value
        return found

    def test_values(self) -> None:
        samples = self.samples()
        for key, expected in {
            ("wasinet_connections_open",): 2,
            ("wasinet_connections_accepted_total",): 3,
            ("wasinet_requests_in_flight",): 1,
            ("wasinet_requests_total",): 5,
            ("wasinet_requests_abandoned_total",): 0,
            ("wasinet_received_bytes_total",): 400,
            ("wasinet_sent_bytes_total",): 4000,
            ("wasinet_answers_total", "200"): 2,
            ("wasinet_answers_total", "404"): 1,
            ("wasinet_answers_total", "408"): 1,
            ("wasinet_answers_total", "500"): 1,
            ("wasinet_refused_total", "408", "head timeout"): 1,
            ("wasinet_dropped_total", "idle"): 1,
            ("wasinet_answer_seconds_count",): 4,
            ("wasinet_answer_seconds_sum",): 90.0055,
        }.items():
            self.assertAlmostEqual(samples[key], expected, msg=str(key))
        self.assertGreater(samples["process_resident_memory_bytes",], 1e6)

    def test_histogram(self) -> None:
        """
        Each latency is below the bound that it is counted under, and not below half of it.
        """
        buckets = {
            float(key[1]): value for key, value in self.samples().items() if key[0] == "wasinet_answer_seconds_bucket"
        }
        self.assertEqual(list(buckets), sorted(buckets))
        self.assertEqual(min(buckets), 64e-6)
        grown = {upper: buckets[upper] - buckets[lower] for lower, upper in pairwise(buckets)}
        self.assertEqual(
            {bound: count for bound, count in grown.items() if count},
            {0.000512: 1, 0.001024: 1, 0.004096: 1, float("inf"): 1},
        )
        self.assertEqual(buckets[64e-6], 0)
        self.statistics.requests += 1
        self.statistics.answered(200, 1e-6, 0)
        self.assertEqual(self.samples()["wasinet_answer_seconds_bucket", "6.4e-05"], 1)

    def test_current(self) -> None:
        """
        Each scrape reads anew.
        """
        self.samples()
        self.statistics.refused(400, 'a "quoted" \\ reason\n')
        self.assertEqual(self.samples()["wasinet_refused_total", "400", 'a "quoted" \\ reason\n'], 1)

    def test_nothingYet(self) -> None:
        """
        Each metric without labels is there and 0, so that a rate begins at 0; there is no average of nothing.
        """
        self.app = StatusApp(Statistics())
        samples = {key: value for key, value in self.samples().items() if key[0].startswith("wasinet_")}
        self.assertEqual(set(samples.values()), {0})
        self.assertEqual(
            {key[0] for key in samples},
            {
                "wasinet_answer_seconds_bucket",
                "wasinet_answer_seconds_count",
                "wasinet_answer_seconds_sum",
                "wasinet_connections_accepted_total",
                "wasinet_connections_open",
                "wasinet_received_bytes_total",
                "wasinet_requests_abandoned_total",
                "wasinet_requests_in_flight",
                "wasinet_requests_total",
                "wasinet_sent_bytes_total",
            },
        )

    def test_twoServers(self) -> None:
        """
        They have the same names, and nothing in common.
        """
        self.samples()
        other = StatusApp(Statistics())
        self.assertIn("wasinet_requests_total 0.0", other(WasiRequest("GET", "/metrics")).text())

    def test_withoutThePackage(self) -> None:
        """
        Everything else works, and the answer says what to install.
        """
        code = (
            "import sys\n"
            "sys.modules['prometheus_client'] = None\n"
            "from wasinet_twisted.http import WasiRequest\n"
            "from wasinet_twisted.server import Statistics, StatusApp\n"
            "app = StatusApp(Statistics())\n"
            "for uri in ('/', '/status.json', '/metrics', '/metrics'):\n"
            "    response = app(WasiRequest('GET', uri))\n"
            "    print(response.status)\n"
            "print(response.text())\n"
        )
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
        expected = "200\n200\n501\n501\nmetrics need prometheus-client: pip install 'wasinet_twisted[metrics]'\n\n"
        self.assertEqual((answer.stdout, answer.stderr), (expected, ""))
        self.assertIn("metrics", metadata("wasinet_twisted").get_all("Provides-Extra") or [])
