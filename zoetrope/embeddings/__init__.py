"""Caches of text features: in memory, in one file for all runs, and in shards beside data."""
