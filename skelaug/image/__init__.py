"""Sequences as images and back."""
