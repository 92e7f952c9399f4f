"""
What the commands show of versions.
"""

from __future__ import annotations

import platform

from twisted.copyright import version as twistedVersion

from .. import __version__
from .._speed import speed


def versionLine() -> str:
    """
    The versions of this package, of Twisted and of Python, and whether the compiled twins are used.
    """
    return f"wasinet_twisted {__version__} ({speed()}; Twisted {twistedVersion}, Python {platform.python_version()})"
