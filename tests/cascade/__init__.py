"""Stages, and what carries a video from one to the next."""
