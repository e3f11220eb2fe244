"""Sentence embeddings: mean of the last hidden states over the tokens, scaled to norm 1.

Reimers and Gurevych, "Sentence-BERT", EMNLP 2019 (arXiv 1908.10084).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core import store
from equipoise.core.errors import InvalidInput, MissingData, unknown_name
from equipoise.core.extras import require
from equipoise.text.gguf_files import looks_like_path
from equipoise.text.local_models import find_device, quiet_loading
from equipoise.text.messages import check_text


class Encoder:
    """Turns texts into vectors whose dot products are cosine similarities.

    Args:
        folder: a model folder with its tokenizer, as `save_pretrained` writes them.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        batch_size: texts encoded together.

    Attributes:
        dimension: length d of a vector.
        max_tokens: longer texts are cut after this many tokens.
    """

    def __init__(self, folder: str | Path, *, device: str = "auto", batch_size: int = 32) -> None:
        if batch_size < 1:
            raise InvalidInput(f"batch_size is {batch_size!r}; it must be >= 1")
        transformers = require("transformers", "text")
        self._device = find_device(device)
        self._batch_size = batch_size
        try:
            with quiet_loading(transformers):
                model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
                self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                    folder, local_files_only=True
                )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InvalidInput(f"cannot load an encoder from {folder}: {reason}") from None
        self._model: Any = model.to(self._device).eval()
        self.dimension = int(model.config.hidden_size)
        self.max_tokens = _max_tokens(Path(folder), int(model.config.max_position_embeddings))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array (n, d) with one row of norm 1 for each text, in order.

        Raises:
            InvalidInput: not a list of texts.
        """
        if isinstance(texts, str):
            raise InvalidInput("texts is one text; give a list of texts")
        checked = [check_text(f"text {place}", text) for place, text in enumerate(texts)]
        rows = np.zeros((len(checked), self.dimension), dtype=np.float32)
        order = sorted(range(len(checked)), key=lambda i: len(checked[i]))
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            rows[chosen] = self._encode_batch([checked[i] for i in chosen])
        return rows

    def _encode_batch(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            hidden = self._model(**tokens).last_hidden_state.float()
            weights = tokens["attention_mask"][..., None].float()
            mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)
            return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


def load_encoder(name_or_path: str, *, device: str = "auto", batch_size: int = 32) -> Encoder:
    """Load a sentence encoder: `all-minilm-l6-v2`, or the folder of one.

    Raises:
        MissingData: it is not on this machine; the message says how to fetch it.
        InvalidInput: an unknown name (the nearest is given) or a folder without a model.
    """
    path = Path(name_or_path).expanduser()
    stored = [artifact.name for artifact in store.available() if "embedding" in artifact.title]
    if name_or_path in stored:
        path = store.path_of(name_or_path)
    elif not path.is_dir():
        if looks_like_path(name_or_path):
            raise MissingData(
                f"there is no encoder folder {path}; valid names: {', '.join(stored)}"
            )
        raise unknown_name("encoder", name_or_path, stored)
    return Encoder(path, device=device, batch_size=batch_size)


def _max_tokens(folder: Path, positions: int) -> int:
    """Return the length an encoder was trained for, where its folder tells, else its positions."""
    try:
        told = json.loads((folder / "sentence_bert_config.json").read_text("utf-8"))
        return min(positions, int(told["max_seq_length"]))
    except (OSError, ValueError, KeyError, TypeError):
        return positions
