"""
Coroutines that a connection owns, and what they wait for.
"""
