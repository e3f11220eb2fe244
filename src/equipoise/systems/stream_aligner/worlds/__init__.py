"""Worlds with exact answers: sentences, sums, texts, and sums of a real model."""
