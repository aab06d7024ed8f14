"""Stands before matplotlib in tests: they are of what needs none, and quicker so."""

raise ImportError("no matplotlib in tests")
