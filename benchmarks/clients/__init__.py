"""
The clients that L{benchmarks.client} and L{benchmarks.download} measure, each in the way its own documentation shows,
and the nginx that answers them.
"""
