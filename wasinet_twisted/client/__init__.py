"""
An HTTP/1.1 client: requests in, responses out, with connections kept for the next request.
"""

__all__: list[str] = []
