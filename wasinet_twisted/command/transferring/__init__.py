"""
What C{wasinet get} and its like are made of: the body that is sent, where the response goes, how a transfer goes on
that was interrupted, and what is told of it.
"""
