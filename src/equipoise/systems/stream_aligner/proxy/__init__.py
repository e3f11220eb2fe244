"""The proxy: every sentence of an upstream is reviewed before it leaves."""
