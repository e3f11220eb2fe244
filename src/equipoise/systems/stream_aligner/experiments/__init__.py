"""The experiments that `reproduce` runs."""
