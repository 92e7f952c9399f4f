"""
What C{wasinet bench} is made of: when requests are due, what they have taken, and what is told of it.
"""
