"""
C{python -m wasinet_twisted} is the command C{wasinet}.
"""

from __future__ import annotations

from .command.main import main

if __name__ == "__main__":
    raise SystemExit(main())
