"""
The command C{wasinet}.

It has to start fast: what a subcommand takes stands in C{parsers}, without
Twisted; what it does is a module here, of the same name for most, with
C{run(arguments)}, which is imported when the subcommand is chosen.
"""
