"""Correction rows: a teacher reviews what an upstream says."""
