"""What chanlog costs beside what else a Python user would pick.

``python -m benchmarks [WORKLOAD ...]`` prints tables and can write JSON. A *workload*
is a module with a function ``cases``; a *case* lets several contestants do the same work in turn; a
*peer* (``benchmarks.peers``) is one class that knows how one store or queue is used well.
"""
