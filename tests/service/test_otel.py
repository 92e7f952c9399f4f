"""
C{--otel}: the spans of a service, recorded by what its app has set up.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.asgi.served import TWISTD as ASGI
from tests.processes import freePort, running, talk
from tests.test_tracing import SPAN, TRACE

from .support import TWISTD, at, write

SETUP = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

def line(span):
    ids = [format(each, "x") for each in (span.context.trace_id, span.context.span_id, span.parent.span_id)]
    return json.dumps([span.name, *ids]) + "\\n"

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=open("spans", "w"), formatter=line)))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("app")
"""

# Its own span is below the request's, on both sides of an await.
HTTP = (
    SETUP
    + """
from twisted.internet import reactor, task
from wasinet_twisted.http import WasiResponse

async def app(request):
    with tracer.start_as_current_span("inner"):
        await task.deferLater(reactor, 0.01)
    return WasiResponse(body=request.id)
"""
)
APP = (
    SETUP
    + """
import asyncio

async def app(scope, receive, send):
    with tracer.start_as_current_span("inner"):
        await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": dict(scope["headers"])[b"x-request-id"]})
"""
)


@pytest.mark.reactorless
@pytest.mark.parametrize(
    ("command", "text", "options"), [(TWISTD, HTTP, []), (ASGI, APP, ["--lifespan", "off"])], ids=["http", "asgi"]
)
def test_spans(tmp_path: Path, command: list[str], text: str, options: list[str]) -> None:
    write(tmp_path, text)
    port = freePort()
    given = ["--app", "app:app", "--listen", at(port), "--otel", "--request-id", "X-Request-Id", *options]
    with running([*command, *given], tmp_path) as process:
        process.waitForPorts(port)
        for number in (1, 2):
            fields = f"X-Request-Id: r{number}\r\ntraceparent: 00-{TRACE[:-1]}{number}-{SPAN}-01\r\n"
            answer = talk(port, f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n".encode())
            assert answer.endswith(b"\r\n\r\nr%d" % number)
        process.stop()
    spans = [json.loads(line) for line in (tmp_path / "spans").read_text().splitlines()]
    for number, (inner, outer) in enumerate((spans[:2], spans[2:]), 1):
        assert (inner[0], outer[0]) == ("inner", "GET")
        assert int(inner[1], 16) == int(outer[1], 16) == int(f"{TRACE[:-1]}{number}", 16)
        assert (inner[3], outer[3]) == (outer[2], SPAN)
