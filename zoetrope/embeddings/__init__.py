"""What text encoders make of texts, kept: in memory, in one file for all runs, and in shards beside data."""
