"""
HTTP over connections: one connection's request loop, the access log, and what shows how a server does.
"""

from .accesslog import AccessLog
from .connection import RequestLoop
from .statistics import Statistics
from .status import StatusApp

__all__ = ["AccessLog", "RequestLoop", "Statistics", "StatusApp"]
