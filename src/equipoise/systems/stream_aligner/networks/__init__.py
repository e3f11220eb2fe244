"""The corrector's networks: bytes or language models, their batches, sessions and files."""
