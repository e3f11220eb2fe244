"""The base that every other part stands on: pure Python and NumPy, never torch."""
