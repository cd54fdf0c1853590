"""Texts that stand for classes: our descriptions of actions, and encoders of sentences."""
