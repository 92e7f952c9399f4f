"""
Files of a directory, served by HTTP: ranges, validators, directory pages, and no way out of the directory.
"""
