"""Readers of data sets, the HDF5 store, splits."""
