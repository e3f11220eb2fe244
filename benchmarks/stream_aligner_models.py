"""The model parts: copy-speculative decoding, reading kept between rounds, seconds of a step.

SmolLM2-135M as it is; where a corrector's choices are needed, its logits are overruled after they
have been computed, so that the cost is the model's and the copy rate is what it is said to be.
"""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BASE = "smollm2-135m"
QUESTION = (
    "We walk along the river on Saturday morning with four children and two dogs, have lunch at "
    "the old mill and take the train back at five. What should we pack for such a day, and which "
    "of it is better left at home?"
)
SENTENCE = (
    "Take a large bottle of water, a light jacket, some bread and cheese, and a map of the river "
    "with all its bridges."
)


def network() -> Any:
    """Return SmolLM2-135M in float32."""
    from equipoise.systems.stream_aligner.networks.families import LanguageNetwork

    return LanguageNetwork.load(BASE, device="cpu")


def chosen(tokens: Sequence[int], vocabulary: int) -> NDArray[np.float64]:
    """Return logits (T, V) whose largest entries are these tokens."""
    rows = np.zeros((len(tokens), vocabulary))
    rows[np.arange(len(tokens)), list(tokens)] = 1.0
    return rows


def corrections(
    draft: Sequence[int], count: int, copies: int, words: Sequence[int], seed: int
) -> list[list[int]]:
    """Return what `count` reviews of a draft decide: `copies` of it, else three tokens replaced.

    Args:
        draft: the sentence.
        count: reviews.
        copies: of them.
        words: what three of its tokens are replaced by.
        seed: of the places.
    """
    chance = np.random.default_rng(seed)
    found = []
    for place in range(count):
        target = list(draft)
        if place >= copies:
            start = int(chance.integers(1, len(draft) // 2))
            target[start : start + len(words)] = words
        found.append(target)
    return found


def copying(
    rates: Sequence[float] = (0.5, 0.8, 0.95), count: int = 20, load: Callable[[], Any] = network
) -> dict[str, Any]:
    """Measure passes and seconds of a correction, copy-speculative and plain, by copy rate.

    An edit replaces three tokens by others that the sentence does not hold; in the last row by
    tokens from further on in it, which lead the search for where the draft goes on astray.
    """
    from equipoise.systems.stream_aligner.networks.sessions import Session

    net = load()
    prompt = net.tokenizer.encode(f"{QUESTION} {SENTENCE} ")
    draft = net.tokenizer.encode(SENTENCE)
    fresh = [token for token in net.tokenizer.encode(QUESTION) if token not in draft][:3]
    session = Session(net)
    session.read(prompt)
    rows = []
    for rate, words in (*((rate, fresh) for rate in rates), (0.8, draft[-4:-1])):
        targets = corrections(draft, count, round(rate * count), words, seed=1)
        ours = [_review(session, net, prompt, draft, target) for target in targets]
        # what plain decoding costs does not depend on what is written
        plain = [_review(session, net, prompt, [], target) for target in targets[::-4]]
        seconds = statistics.fmean(one[1] for one in ours)
        plain_seconds = statistics.fmean(one[1] for one in plain)
        rows.append({
            "copy_rate": rate,
            "edits": "other words" if words is fresh else "words from further on",
            "passes": statistics.fmean(one[0] for one in ours),
            "plain_passes": statistics.fmean(one[0] for one in plain),
            "seconds": seconds, "plain_seconds": plain_seconds,
            "speedup": plain_seconds / seconds,
            "same_output": [one[2] for one in ours[::-4]] == [one[2] for one in plain],
        })  # fmt: skip
    return {"prompt_tokens": len(prompt), "draft_tokens": len(draft), "reviews": count,
            "plain_reviews": len(range(0, count, 4)), "rates": rows}  # fmt: skip


def _review(
    session: Any, net: Any, prompt: list[int], draft: list[int], target: list[int]
) -> tuple[int, float, tuple[int, ...]]:
    """Return passes, seconds and tokens of one review whose outcome is `target`."""
    from equipoise.systems.stream_aligner.copying import copy_decode_tail

    session.tail(prompt, 1)  # forgets what the review before had read behind the prompt
    ending = [*target, net.tokenizer.end_id]

    def tail(tokens: list[int], rows: int) -> NDArray[np.float64]:
        vocabulary = session.tail(tokens, rows).shape[1]
        first = len(tokens) - rows + 1 - len(prompt)  # the place that the first row predicts
        wanted = [ending[min(first + row, len(ending) - 1)] for row in range(rows)]
        return chosen(wanted, vocabulary)

    begun = time.perf_counter()
    found = copy_decode_tail(tail, prompt, draft, net.tokenizer.end_id)
    return found.passes, time.perf_counter() - begun, found.tokens


class Copying:
    """A network that computes its logits and then copies the tokens that it was offered."""

    def __init__(self, net: Any) -> None:
        self._net = net
        self.tokenizer = net.tokenizer

    def new_cache(self) -> Any:
        """Return an empty cache."""
        return self._net.new_cache()

    def crop(self, cache: Any, length: int) -> None:
        """Forget what the cache holds after `length` tokens."""
        self._net.crop(cache, length)

    def extend(self, cache: Any, tokens: Sequence[int], keep: int) -> NDArray[np.float64]:
        """Read tokens; return rows that say what has been offered, then the end of text."""
        vocabulary = self._net.extend(cache, tokens, keep).shape[1]
        offered = list(tokens)[len(tokens) - keep + 1 :]
        return chosen([*offered, self.tokenizer.end_id], vocabulary)


def reading(
    rounds: int = 16, repeats: int = 3, load: Callable[[], Any] = network
) -> dict[str, Any]:
    """Measure a review's seconds and tokens by rounds, with what was read kept and without."""
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector

    net: Any = Copying(load())
    found: dict[str, Any] = {"rounds": rounds}
    for name, keep in (("kept", True), ("afresh", False)):
        seconds = np.zeros((repeats, rounds))
        tokens = np.zeros(rounds)
        for repeat in range(repeats):
            corrector = ModelCorrector(net, "stream", 2048)
            prefix = ""
            for round_ in range(rounds):
                if not keep:
                    corrector.close()
                before, begun = corrector.tokens_read, time.perf_counter()
                said = corrector(QUESTION, prefix, SENTENCE)
                seconds[repeat, round_] = time.perf_counter() - begun
                tokens[round_] = corrector.tokens_read - before
                assert said.verdict == "copy"
                prefix += f" {SENTENCE}" if prefix else SENTENCE
        median = np.median(seconds, axis=0)
        found[name] = {
            "seconds": median.tolist(),
            "tokens": tokens.tolist(),
            "growth": float(median[-4:].mean() / median[1:5].mean()),
        }
    return found


def copying_and_reading() -> dict[str, Any]:
    """Measure both savings of the corrector."""
    return copying() | {"reading": reading()}


def training(
    steps: int = 4, rows: int = 4, base: str = BASE, load: Callable[[], Any] = network
) -> dict[str, Any]:
    """Measure the seconds of a training step against a bare loop over transformers, alternating."""
    from equipoise.systems.stream_aligner.config import StreamAlignerConfig
    from equipoise.systems.stream_aligner.rows import CorrectionRow
    from equipoise.systems.stream_aligner.train import train

    data = [
        CorrectionRow(f"{QUESTION} ({number})", SENTENCE, SENTENCE, f"{SENTENCE} {number}", "edit")
        for number in range(rows)
    ]
    config = StreamAlignerConfig(
        base=base, epochs=steps + 2, batch=rows, accumulation=1, identity_share=0.0
    )
    ours = train(config, data, device="cpu")
    bare = _bare_loop(load(), config, data)
    taken: dict[str, list[float]] = {"ours": [], "bare": []}
    losses: dict[str, list[float]] = {"ours": [], "bare": []}
    for step in range(steps + 1):
        for name, loop in (("ours", ours), ("bare", bare)):
            begun = time.perf_counter()
            record: Any = next(loop)
            if step > 0:  # the first loads or warms up
                taken[name].append(time.perf_counter() - begun)
            losses[name].append(record if name == "bare" else record["loss"])
    del ours, bare
    gc.collect()
    own, other = (statistics.median(taken[name]) for name in ("ours", "bare"))
    return {"rows": rows, "steps": steps, "seconds": own, "bare_seconds": other,
            "ratio": own / other, "losses": losses}  # fmt: skip


def _bare_loop(net: Any, config: Any, rows: Sequence[Any]) -> Any:
    """Yield the loss of each step of the plainest loop over the model with its own loss."""
    import torch

    from equipoise.systems.stream_aligner.networks.batches import pad_batch, prepare

    adapted = net.with_adapter(config.lora_rank, config.lora_alpha, 42)
    model = adapted.module
    examples = prepare(rows, "stream", adapted.tokenizer, 512).real
    weights = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=2e-4, betas=(0.9, 0.95), weight_decay=0.0)
    tokens, labels, _ = (
        torch.as_tensor(one) for one in pad_batch(examples, adapted.tokenizer.pad_id)
    )
    mask = (
        torch.arange(tokens.shape[1]) < torch.tensor([[len(e.input_ids)] for e in examples])
    ).long()
    model.train()
    while True:
        loss = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        yield float(loss.detach())
