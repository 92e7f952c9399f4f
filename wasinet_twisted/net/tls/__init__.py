"""
TLS under a connection.
"""
