"""
A long run of mixed traffic, honest and hostile, against workers that are replaced and killed meanwhile.
"""
