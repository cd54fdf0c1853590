"""Layouts, sequences, geometry: what a skeleton is; knows no torch and no files."""
