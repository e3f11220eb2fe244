"""Tokens per second of the two local back ends, in one run, and llama.cpp's noise on 4-bit weights.

Run `python -m benchmarks.generation`; it prints one JSON object.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core import store
from equipoise.text import Backend, chat, load_backend, write_f32_gguf

QUESTIONS = (
    "Name three colours and what they remind you of.",
    "What is the capital of France, and what can one see there?",
    "Write a short poem about rain.",
    "How do plants make food?",
    "Explain how a bicycle stays upright.",
    "Tell a story about a lighthouse.",
    "Why is the sky blue?",
    "Describe how bread is baked.",
)
MODEL = "smollm2-135m"


def measure(*, tokens: int = 64, repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Measure speed and agreement.

    The back ends alternate, so that a change of the machine's load touches both; medians are given.

    Args:
        tokens: tokens generated for each question.
        repeats: how often each back end is timed.
        threads: CPU threads of both.

    Returns:
        `{"generation": {...}, "noise": [...]}`: tokens/s alone and batched, and for each llama.cpp
        file the greedy texts that equal transformers' and the differences of the log-probability of
        a token (mean, 95 %, largest; nats).
    """
    import torch

    torch.set_num_threads(threads)
    with (
        load_backend(f"llamacpp:{MODEL}", threads=threads, parallel=4) as fast,
        load_backend(f"transformers:{MODEL}", device="cpu") as dense,
    ):
        for backend in (fast, dense):
            backend.generate(chat("Hello"), max_tokens=4)  # the first steps of a process are slow
        speeds: dict[str, list[float]] = {}
        for _ in range(repeats):
            for name, backend in (("llamacpp", fast), ("transformers", dense)):
                for kind, count in (("alone", 1), ("batched", len(QUESTIONS))):
                    speeds.setdefault(f"{name}_{kind}", []).append(_speed(backend, count, tokens))
        reference = _answers(dense, tokens)
        noise = [{"weights": "Q4_1", **_noise(fast, dense, reference, tokens)}]
        with tempfile.TemporaryDirectory() as folder:
            path = write_f32_gguf(store.path_of(MODEL), Path(folder) / "f32.gguf")
            with load_backend(f"llamacpp:{path}", threads=threads) as plain:
                noise.append({"weights": "F32", **_noise(plain, dense, reference, tokens)})
    return {
        "generation": {
            "model": MODEL,
            "threads": threads,
            "batch": len(QUESTIONS),
            "tokens": tokens,
            "repeats": repeats,
            "unit": "tokens/s",
            **{name: round(statistics.median(values), 1) for name, values in speeds.items()},
        },
        "noise": noise,
    }


def _speed(backend: Backend, count: int, tokens: int) -> float:
    begin = time.perf_counter()
    done = backend.generate_batch([chat(q) for q in QUESTIONS[:count]], max_tokens=tokens)
    return sum(c.completion_tokens or 0 for c in done) / (time.perf_counter() - begin)


def _answers(backend: Backend, tokens: int) -> dict[str, str]:
    done = backend.generate_batch([chat(question) for question in QUESTIONS], max_tokens=tokens)
    return {question: completion.text for question, completion in zip(QUESTIONS, done)}


def _noise(
    backend: Backend, reference: Backend, answers: dict[str, str], tokens: int
) -> dict[str, Any]:
    own = _answers(backend, tokens)
    gaps = np.concatenate(
        [
            np.abs(
                backend.score(chat(question), text).log_probs
                - reference.score(chat(question), text).log_probs
            )
            for question, text in answers.items()
        ]
    )
    return {
        "greedy_equal": sum(own[question] == text for question, text in answers.items()),
        "answers": len(answers),
        "tokens": len(gaps),
        "mean": round(float(gaps.mean()), 5),
        "p95": round(float(np.quantile(gaps, 0.95)), 5),
        "max": round(float(gaps.max()), 5),
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
