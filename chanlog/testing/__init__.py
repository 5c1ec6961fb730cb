"""What tests need: a contract that every backend is held to, and servers to hold it against.

Importing this imports nothing: take :mod:`chanlog.testing.conformance` for the scenarios and
:mod:`chanlog.testing.harness` for what they stand on. The pytest plugin is there by itself.
"""
