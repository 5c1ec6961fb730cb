"""Channels: who waits for what, and what a person holds in the hand."""
