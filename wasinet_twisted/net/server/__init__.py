"""
The side that listens.
"""
