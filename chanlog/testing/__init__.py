"""What tests need: time that passes when told to, faults on purpose, and a contract that every
backend is held to, with real servers to hold it against.

Importing this imports nothing: take :mod:`chanlog.testing.clock` for the clock,
:mod:`chanlog.testing.faults` for the faults, :mod:`chanlog.testing.conformance` for the contract
and :mod:`chanlog.testing.harness` for what it stands on. The pytest plugin is there by itself.
"""
