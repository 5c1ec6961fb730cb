"""The embedded log and each real engine, given the same operations, answer the same."""
