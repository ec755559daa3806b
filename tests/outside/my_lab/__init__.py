"""A package of somebody else's: one kind a file, found by dotted name. Tests put its folder on the path."""
