"""The double that can be made to fail: its clock, its faults, its profiles."""
