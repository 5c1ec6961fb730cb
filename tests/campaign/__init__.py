"""Trying to break chanlog: power cuts, failing calls, damage, kills, races, crowds.

Each folder is one way of trying, with one or more campaigns. A campaign runs small in the tests and
as large as one likes with ``python -m tests.campaign``.
"""
