"""
Python imports this before a program starts. Only the tests' programs find it: see C{tests/reactors.py}.
"""

import os
from importlib import import_module

if module := os.environ.get("WASINET_TEST_REACTOR"):
    import_module(module).install()
