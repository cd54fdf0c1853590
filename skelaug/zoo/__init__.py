"""Packaged weights, their cards, and the lookup."""
