"""
Measurements against peers. Each runs all candidates in one process, and is a command: C{python -m benchmarks.parser}.
"""
