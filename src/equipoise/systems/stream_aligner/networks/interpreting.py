"""What a corrector knows before it writes: linear probes of its layers, and steering along them.

Representation reading and control, as Aligner's ablation does (arXiv 2402.02416, section on
interpretability; there the copying and the correcting mode of the model). Layer 0 is what the first
block reads, layer k what block k writes. All directions here are edit minus copy: adding one asks
for more editing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput
from equipoise.core.stats import Interval, cluster_groups, percentile_interval
from equipoise.systems.stream_aligner.copying import copy_decode_tail

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.networks.families import Network

FOLDS = 5
_REPLICATES = 2000


def blocks_of(network: "Network") -> list[Any]:
    """Return a network's blocks, first to last: a byte decoder's, or a language model's layers.

    Raises:
        InvalidInput: the module shows no list of as many layers as its configuration names.
    """
    from torch import nn

    module = network.module
    own = getattr(module, "blocks", None)
    if isinstance(own, nn.ModuleList):
        return list(own)
    count = getattr(getattr(module, "config", None), "num_hidden_layers", None)
    for part in module.modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return list(part)
    raise InvalidInput(
        f"{type(module).__name__} shows no list of blocks; known are byte decoders and causal "
        "models of transformers with num_hidden_layers"
    )


@contextmanager
def at_layer(blocks: Sequence[Any], layer: int, see: Callable[[Any], Any]) -> Iterator[None]:
    """Hand a layer's hidden state (B, T, W) to `see` in every pass.

    What `see` returns goes on in its place; None changes nothing.
    """

    def before(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        changed = see(given[0] if given else named["hidden_states"])
        if changed is None:
            return None
        return (
            ((changed, *given[1:]), named) if given else (given, named | {"hidden_states": changed})
        )

    def behind(_: Any, __: Any, written: Any) -> Any:
        whole = isinstance(written, tuple)
        changed = see(written[0] if whole else written)
        return changed if changed is None or not whole else (changed, *written[1:])

    if layer == 0:
        hook = blocks[0].register_forward_pre_hook(before, with_kwargs=True)
    else:
        hook = blocks[layer - 1].register_forward_hook(behind)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def recorded(blocks: Sequence[Any]) -> Iterator[list[NDArray[np.float64]]]:
    """Note the hidden state at the last position of every pass: layer 0, then behind each block.

    The list that it gives grows by `len(blocks) + 1` arrays (B, W) a pass.
    """
    seen: list[NDArray[np.float64]] = []

    def note(hidden: Any) -> None:
        seen.append(hidden[:, -1].detach().double().cpu().numpy())

    with ExitStack() as hooks:
        for layer in range(len(blocks) + 1):
            hooks.enter_context(at_layer(blocks, layer, note))
        yield seen


@contextmanager
def steered(
    blocks: Sequence[Any], layer: int, vector: NDArray[np.float64], last: int
) -> Iterator[None]:
    """Add a vector (W,) to a layer's hidden state at the last `last` positions of every pass.

    Raises:
        InvalidInput: a layer that is not there, or no position.
    """
    import torch

    if not 0 <= layer <= len(blocks):
        raise InvalidInput(f"layer is {layer!r}; this network has 0 to {len(blocks)}")
    if last < 1:
        raise InvalidInput(f"last is {last!r}; it must be >= 1")

    def moved(hidden: Any) -> Any:
        added = torch.as_tensor(vector, dtype=hidden.dtype, device=hidden.device)
        hidden = hidden.clone()
        hidden[:, -last:] += added
        return hidden

    with at_layer(blocks, layer, moved):
        yield


def hidden_states(network: "Network", texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return what a network holds at the last token of each text, (N, layers + 1, W)."""
    import torch

    if not texts:
        raise InvalidInput("there is no text to read")
    blocks = blocks_of(network)
    device = next(network.module.parameters()).device
    states = []
    with torch.inference_mode(), recorded(blocks) as seen:
        for tokens in texts:
            network.logits(torch.tensor([list(tokens)], device=device), 1)
            states.append(np.stack([hidden[0] for hidden in seen]))
            seen.clear()
    return np.stack(states)


def decode_steered(
    network: "Network",
    prompt: Sequence[int],
    draft: Sequence[int],
    layer: int,
    vector: NDArray[np.float64],
) -> tuple[int, ...]:
    """Return the greedy correction of a draft under steering, end of text left out.

    The vector is added at the last position of the prompt and at every generated one. A correction
    that does not end is cut at twice the draft and 16 tokens.
    """
    import torch

    blocks = blocks_of(network)
    device = next(network.module.parameters()).device

    def tail(tokens: list[int], count: int) -> NDArray[np.float64]:
        with torch.inference_mode(), steered(blocks, layer, vector, len(tokens) - len(prompt) + 1):
            rows = network.logits(torch.tensor([tokens], device=device), count)
        return rows[0].double().cpu().numpy()

    end = network.tokenizer.end_id
    return copy_decode_tail(tail, prompt, draft, end, max_new_tokens=2 * len(draft) + 16).tokens


@dataclass(frozen=True)
class Probe:
    """A linear reading of one layer.

    Attributes:
        layer: from 0.
        validated: AUC on the training rows, each fold scored by a probe of the others.
        auc: on fresh rows, with a 95 % bootstrap interval.
        direction: (W,) mean of the training rows' edits minus mean of their copies.
    """

    layer: int
    validated: float
    auc: Interval
    direction: NDArray[np.float64]


@dataclass(frozen=True)
class Examined:
    """What a network holds at the last token of prompts.

    Attributes:
        states: (N, layers + 1, W), of `hidden_states`.
        edits: (N,) whether the teacher edits.
        answers: (N,) which answer each sentence is of; these are not independent.
    """

    states: NDArray[np.float64]
    edits: NDArray[np.bool_]
    answers: Sequence[str]

    def fewest_answers(self) -> int:
        """Return how many answers hold an edit, or a copy, where these are fewer."""
        kinds = (self.edits, ~self.edits)
        return min(len({a for a, held in zip(self.answers, kind) if held}) for kind in kinds)


def probe_layers(known: Examined, fresh: Examined, seed: int) -> list[Probe]:
    """Fit one L2 logistic regression a layer, on standardised states, and score fresh rows.

    Args:
        known: training rows; an answer is in one fold as a whole.
        fresh: rows that no training had.
        seed: of folds and bootstrap.

    Raises:
        InvalidInput: edits or copies in fewer than two answers on either side, or all of a kind in
            one fold.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fewest = min(known.fewest_answers(), fresh.fewest_answers())
    if fewest < 2:
        raise InvalidInput(
            f"a probe needs edits and copies in two answers at least, got one of them in {fewest}"
        )
    count, edits = min(FOLDS, known.fewest_answers()), known.edits
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    splits = list(folds.split(known.states, edits, known.answers))
    if not all(0 < edits[learnt].sum() < len(learnt) for learnt, _ in splits):
        raise InvalidInput("a probe needs more answers with edits and with copies than these")
    fit = {"cv": splits, "method": "decision_function"}
    probes = []
    for layer in range(known.states.shape[1]):
        here = known.states[:, layer]
        held_out = np.asarray(cross_val_predict(model, here, edits, **fit), np.float64)
        scores = model.fit(here, edits).decision_function(fresh.states[:, layer])
        probes.append(
            Probe(
                layer,
                auc_interval(held_out, edits, known.answers, seed).estimate,
                auc_interval(scores, fresh.edits, fresh.answers, seed),
                here[edits].mean(axis=0) - here[~edits].mean(axis=0),
            )
        )
    return probes


def auc_interval(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    clusters: Sequence[object],
    seed: int = 0,
) -> Interval:
    """Return the area under the ROC curve with a 95 % bootstrap interval.

    Args:
        scores: (N,).
        positive: (N,).
        clusters: (N,) of the rows; they are drawn as wholes, and draws of one kind alone left out.
        seed: of the draws.

    >>> auc_interval(np.array([1.0, 3.0, 2.0]), np.array([False, True, True]), "aab").estimate
    1.0
    """
    high, low = np.asarray(scores)[positive], np.asarray(scores)[~positive]
    if not (high.size and low.size):
        raise InvalidInput("an AUC needs rows of both kinds")
    if len(clusters) != len(positive):
        raise InvalidInput(f"there are {len(positive)} rows and {len(clusters)} clusters")
    wins = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    groups = cluster_groups(clusters)
    place = np.empty(len(positive), dtype=np.int64)
    for number, group in enumerate(groups):
        place[group] = number
    share = np.full(len(groups), 1 / len(groups))
    drawn = np.random.default_rng(seed).multinomial(len(groups), share, size=_REPLICATES)
    above, below = drawn[:, place[positive]], drawn[:, place[~positive]]
    pairs = above.sum(axis=1) * below.sum(axis=1)
    samples = np.einsum("rl,rl->r", above @ wins, below)[pairs > 0] / pairs[pairs > 0]
    area = float(wins.mean())
    ends = percentile_interval(samples, area)
    # the samples of a constant score differ from it by rounding
    return Interval(area, min(area, float(ends.low)), max(area, float(ends.high)))
