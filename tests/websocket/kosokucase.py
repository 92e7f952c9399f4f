"""
Autobahn's cases, by Kosoku, which has an asyncio loop of its own: results on the standard output, as JSON.

    python -m tests.websocket.kosokucase server PORT TOGETHER [CASE ...]     # against a server
    python -m tests.websocket.kosokucase client [CASE ...]          # against the client that comes to its port
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from kosoku import FailureError, run_fuzzingclient, run_fuzzingserver


async def main(role: str, *arguments: str) -> None:
    """
    As the module has it.
    """
    results: Any
    try:
        if role == "server":
            port, together, *cases = arguments
            url = f"ws://127.0.0.1:{port}"
            results = await run_fuzzingclient(url, cases=cases or None, concurrency=int(together))
        else:
            async with run_fuzzingserver(cases=list(arguments) or None, port=0) as server:
                print(server.port, flush=True)
                results = await server.get_result()
    except FailureError as error:
        results = error.results
    for each in results:
        said = f"{each.result} {each.result_close}"
        print(json.dumps([each.case_id, each.behavior.value, each.behavior_close.value, said]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
