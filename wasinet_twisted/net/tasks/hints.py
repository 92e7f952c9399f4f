"""
What to say of a coroutine that needs asyncio's event loop where none runs.
"""

from __future__ import annotations

import asyncio

HINT = "await it on a reactor for asyncio programs (twistd --reactor=wasinet-asyncio; wasinet-http --asyncio)"

# As asyncio, Python 3.11 to 3.14, says it.
_LACKS_A_LOOP = ("no running event loop", "no current event loop")


def withAsyncioHint(error: BaseException) -> BaseException:
    """
    Add to C{error}, if it says that no asyncio event loop runs, how to get one.

    C{asyncio.sleep}, C{asyncio.timeout} and C{asyncio.create_task} look for
    the loop before they give a Future. So no task ever sees what was awaited,
    and asyncio's own message doesn't say what to do.

    @return: the same exception, with its traceback.
    """
    if isinstance(error, RuntimeError) and HINT not in str(error) and any(said in str(error) for said in _LACKS_A_LOOP):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            error.args = (f"{error}; {HINT}",)
    return error
