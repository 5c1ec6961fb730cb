"""One log in one folder: segments, index, sync, recovery, compaction, retention."""
