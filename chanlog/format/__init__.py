"""Bytes to batches and back: pure, without files, threads or clocks."""
