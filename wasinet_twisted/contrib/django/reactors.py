"""
Django's async views and Channels' consumers are asyncio's, and need a reactor that runs an asyncio loop.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import asyncioreactor

from ...errors import NotSupported

_MODULE = "twisted.internet.reactor"


def asyncioReactor() -> Any:
    """
    Return the reactor of the process. If it has none yet, install the one for asyncio programs.

    @raise NotSupported: it has one that runs no asyncio loop.
    """
    installed = sys.modules.get(_MODULE)
    if installed is None:
        return _install()
    if not isinstance(installed, asyncioreactor.AsyncioSelectorReactor):
        raise NotSupported(
            f"the process already has Twisted's {type(installed).__name__}, which runs no asyncio programs: put "
            "wasinet_twisted.contrib.django first in INSTALLED_APPS, and import twisted.internet.reactor in functions"
        )
    return installed


def renewReactor() -> Any:
    """
    Install a new reactor in a process that was forked: the descriptors of the old one's loop are the parent's too.
    """
    sys.modules.pop(_MODULE, None)
    return _install()


def _install() -> Any:
    if sys.platform != "linux":
        asyncioreactor.install()
        return sys.modules[_MODULE]
    from ...reactor import asyncio

    return asyncio.install()
