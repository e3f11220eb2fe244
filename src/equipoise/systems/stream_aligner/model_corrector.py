"""A trained model as corrector: greedy, copy-speculative, with its reading kept between calls."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from equipoise.core.errors import InvalidInput, RunFailed, unknown_name
from equipoise.systems.stream_aligner.copying import CopyDecode, copy_decode_tail
from equipoise.systems.stream_aligner.correction import Correction, TokenMeter
from equipoise.systems.stream_aligner.gate.files import has_gate, load_gate
from equipoise.systems.stream_aligner.gate.linear import NOTE, CopyGate
from equipoise.systems.stream_aligner.gate.states import FirstBlocks
from equipoise.systems.stream_aligner.networks.batches import fit_prompt
from equipoise.systems.stream_aligner.networks.checkpoints import find_corrector, load_corrector
from equipoise.systems.stream_aligner.networks.families import Network
from equipoise.systems.stream_aligner.networks.sessions import Session
from equipoise.systems.stream_aligner.prompts import STOP_TEXT

_OPTIONS = ("style", "base", "device", "sessions", "gate")
_GATES = ("on", "off")


class ModelCorrector:
    """A corrector that a network was trained to be.

    The sentence is offered as the draft of its own correction, so a copy costs one pass (section
    2.9); keys and values are kept, so question and prefix are read once an answer. Equal text is a
    copy, empty text a drop, and a leading stop token (or `[[STOP]]`) a stop. Calls may come from
    several threads; they take turns.

    With a gate, a sentence that it is sure of is a copy without a pass of the network, noted
    `gate`: it has not been reviewed, and the gate's miss budget says how often that is wrong. A
    corrector of whole answers has none.

    Args:
        network: trained.
        style: of its prompts.
        max_length: tokens it was trained on; the prefix is shortened from its left to fit.
        sessions: answers whose reading is kept at the same time.
        gate: lets sure copies skip the network; not in style `aligner`.

    Attributes:
        last: how the last correction was decoded; None before the first and after a skip.
        passes: of the network, over all calls.
        skipped: sentences that the gate let pass, over all calls.
        tokens_read: by it, over all calls.
        meter: those that this thread's last review has read.
    """

    def __init__(
        self,
        network: Network,
        style: str,
        max_length: int,
        *,
        sessions: int = 4,
        gate: CopyGate | None = None,
    ) -> None:
        if sessions < 1:
            raise InvalidInput(f"sessions is {sessions!r}; it must be >= 1")
        self.network, self.style, self.max_length = network, style, max_length
        self.last: CopyDecode | None = None
        self.passes = 0
        self.meter = TokenMeter()
        self.gate = gate if style == "stream" else None
        self.skipped = 0
        self._sessions = [Session(network) for _ in range(sessions)]
        self._gate_sessions = self._first_blocks(sessions)
        self._turn = Lock()

    @property
    def answers_at_once(self) -> int:
        """How many answers' reading is kept at the same time."""
        return len(self._sessions)

    @property
    def tokens_read(self) -> int:
        """How many tokens the network has read."""
        return sum(session.tokens_read for session in self._sessions)

    @property
    def gate_tokens_read(self) -> int:
        """How many tokens the first blocks have read for the gate; 0 where it reads text."""
        return sum(session.tokens_read for session in self._gate_sessions)

    def __call__(self, question: str, prefix: str, sentence: str) -> Correction:
        """Review one sentence.

        Raises:
            InvalidInput: question and sentence are too long for the model, or a prefix was given
                to a corrector of whole answers.
            RunFailed: the correction did not come to an end.
        """
        draft = self.network.tokenizer.encode(sentence)
        prompt = self._prompt(question, prefix, sentence, draft)
        limit = 2 * len(draft) + 64
        with self._turn:
            if self._is_sure(question, prefix, sentence, prompt):
                self.last, self.meter.tokens = None, 0
                self.skipped += 1
                return Correction(sentence, "copy", NOTE)
            session = self._session(self._sessions, question, prompt)
            known = session.tokens_read
            said = self.last = copy_decode_tail(
                session.tail, prompt, draft, self.network.tokenizer.end_id, max_new_tokens=limit
            )
            self.passes += said.passes
            self.meter.tokens = session.tokens_read - known
        if len(said.tokens) == limit and not said.is_copy:
            raise RunFailed(f"the correction of a sentence did not end within {limit} tokens")
        return self._read(said.tokens, sentence)

    def anticipate(self, question: str, prefix: str, begun: str) -> None:
        """Read question, prefix and the beginning of a sentence that is still being written.

        When the sentence is complete, only its rest is left to read. What changes is forgotten.
        With a gate nothing is read: a sentence that it lets pass costs no pass of the network.
        """
        self.meter.tokens = 0
        if self.gate is not None and self.gate.skips:
            return
        tokenizer = self.network.tokenizer
        whole = self._prompt(question, prefix, begun, tokenizer.encode(begun))
        # what follows the sentence's text is not its own yet
        other = self._prompt(question, prefix, f"{begun}\x00", tokenizer.encode(begun))
        pairs = enumerate(zip(whole, other))
        known = next((place for place, (ours, theirs) in pairs if ours != theirs), len(whole))
        with self._turn:
            session = self._session(self._sessions, question, whole)
            before = session.tokens_read
            session.read(whole[:known])
            self.meter.tokens = session.tokens_read - before

    def close(self) -> None:
        """Let go of what has been read."""
        self._sessions = [Session(self.network) for _ in self._sessions]
        self._gate_sessions = self._first_blocks(len(self._sessions))

    def _prompt(self, question: str, prefix: str, sentence: str, draft: Sequence[int]) -> list[int]:
        if self.style == "aligner" and prefix:
            raise InvalidInput(
                "this corrector has style 'aligner' and reviews whole answers: use mode aligner"
            )
        space = self.max_length - len(draft) - 1
        return fit_prompt(self.network.tokenizer, question, prefix, sentence, self.style, space)

    def _first_blocks(self, count: int) -> list[Session]:
        """Return sessions of the blocks that the gate reads; none where it reads text."""
        if self.gate is None or self.gate.layer is None or not self.gate.skips:
            return []
        first = FirstBlocks(self.network, self.gate.layer)
        return [Session(first) for _ in range(count)]

    def _is_sure(self, question: str, prefix: str, sentence: str, prompt: Sequence[int]) -> bool:
        """Return whether the gate lets a sentence pass."""
        if self.gate is None or not self.gate.skips:
            return False
        if self.gate.layer is None:
            score = self.gate.score_texts([(question, prefix, sentence)])
        else:
            session = self._session(self._gate_sessions, question, prompt)
            score = self.gate.score_states(session.tail(list(prompt), 1))
        return self.gate.is_sure(float(score[0]))

    def _session(self, held: list[Session], question: str, prompt: Sequence[int]) -> Session:
        """Return the session that has read most of a prompt, if at least its question.

        Else the one that has rested longest.
        """
        best = max(held, key=lambda session: session.shared(prompt))
        if best.shared(prompt) < len(self.network.tokenizer.encode(question)):
            best = held[0]
        held.remove(best)
        held.append(best)
        return best

    def _read(self, tokens: Sequence[int], sentence: str) -> Correction:
        tokenizer = self.network.tokenizer
        mark = tokenizer.stop_ids
        text = tokenizer.decode(tokens).strip()
        # a sentence may itself spell the mark where the tokenizer has no token of its own for it
        same = text == sentence.strip()
        if tuple(tokens[: len(mark)]) == mark and not (same and tokenizer.decode(mark)):
            return Correction(tokenizer.decode(tokens[len(mark) :]).strip(), "stop")
        if same:
            return Correction(sentence, "copy")
        if text.startswith(STOP_TEXT):
            return Correction(text.removeprefix(STOP_TEXT).strip(), "stop")
        return Correction(text, "edit" if text else "drop")


def make_model_corrector(path: str | Path, **options: Any) -> ModelCorrector:
    """Load the corrector that a training saved.

    Args:
        path: checkpoint folder, or the run folder that holds it.
        **options: `style` and `base` (refuse others), `device`, `sessions`, and `gate`: `on` (the
            default: one that lies beside the checkpoint is used) or `off`.

    Raises:
        MissingData: nothing there.
        InvalidInput: an unknown option, what `load_corrector` says, or a gate of another corrector.
    """
    for option in options:
        if option not in _OPTIONS:
            raise unknown_name("option of corrector 'model'", option, _OPTIONS)
    sessions, wanted = int(options.pop("sessions", 4)), options.pop("gate", "on")
    if wanted not in _GATES:
        raise unknown_name("value of option gate", wanted, _GATES)
    network, description = load_corrector(path, **options)
    folder = find_corrector(Path(path).expanduser())
    gate = load_gate(folder) if wanted == "on" and has_gate(folder) else None
    return ModelCorrector(
        network, description["style"], description["max_length"], sessions=sessions, gate=gate
    )
