"""
The HTTP client.
"""
