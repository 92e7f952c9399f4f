"""
The side that connects.
"""
