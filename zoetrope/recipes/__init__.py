"""Whole systems as data, one per file: each has a `recipe()` that gives a `zoetrope.training.spec.Recipe`."""
