"""The rooms: one published system each. They never import one another."""
