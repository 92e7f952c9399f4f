"""
What each twistd command runs: its options and its service, one module a command.
"""
