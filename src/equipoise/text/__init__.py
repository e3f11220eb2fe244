"""Chat messages, templates and one generation interface over three back ends, and text embeddings.

`load_backend` opens a model as llama.cpp (`llamacpp:`), transformers (`transformers:`) or any
OpenAI-compatible endpoint (`openai:`); all three generate, stream, continue an answer prefix,
score a given answer and count tokens, or say that they cannot. Nothing heavy is imported early.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
