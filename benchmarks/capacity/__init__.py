"""
From what requests and connections cost to cores, memory and machines: C{python -m benchmarks.capacity}.

    - L{measuring}: what they cost, measured on this machine, with the clients of L{clients}
    - L{queueing}: how long requests wait at a given utilisation
    - L{needs}: what a load needs of each resource, and what breaks first
    - L{pages}: the tables and the chart of C{docs/scale.md}
"""
