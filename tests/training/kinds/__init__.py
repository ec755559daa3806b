"""Kinds that only tests have: a test that puts this folder beside those of the package can name them in recipes."""
