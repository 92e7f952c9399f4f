"""
Hunting for bugs in the parser, from the command line: no part of the usual test run.

C{python -m tests.fuzz.parser} is guided by coverage and needs atheris (the extra
C{fuzz}); C{python -m tests.fuzz.differential} compares us with h11 and httptools.
"""
