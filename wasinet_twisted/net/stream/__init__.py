"""
The stream of bytes that a connection is: its two directions, the Protocol, and the handle that users hold.
"""
