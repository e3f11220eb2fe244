"""Correctors and baselines compared, in worlds and on files of the user."""
