"""Cascades on disk: loading and saving them, and the ones that ship with the package, each with its card."""
