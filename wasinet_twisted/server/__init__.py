"""
HTTP over connections: one connection's request loop, and the access log.
"""

from .accesslog import AccessLog
from .connection import RequestLoop

__all__ = ["AccessLog", "RequestLoop"]
