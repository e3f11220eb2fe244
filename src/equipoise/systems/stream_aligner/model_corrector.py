"""A trained model as corrector: greedy, copy-speculative, with its reading kept between calls."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from equipoise.core.errors import InvalidInput, RunFailed, unknown_name
from equipoise.systems.stream_aligner.checkpoints import load_corrector
from equipoise.systems.stream_aligner.copying import CopyDecode, copy_decode_tail
from equipoise.systems.stream_aligner.correction import Correction
from equipoise.systems.stream_aligner.networks import STOP_TEXT, Network
from equipoise.systems.stream_aligner.sessions import Session
from equipoise.systems.stream_aligner.training_data import fit_prompt

_OPTIONS = ("style", "base", "device", "sessions")


class ModelCorrector:
    """A corrector that a network was trained to be.

    The sentence is offered as the draft of its own correction, so a copy costs one pass (section
    2.9); keys and values are kept, so question and prefix are read once an answer. Equal text is a
    copy, empty text a drop, and a leading stop token (or `[[STOP]]`) a stop. Calls may come from
    several threads; they take turns.

    Args:
        network: trained.
        style: of its prompts.
        max_length: tokens it was trained on; the prefix is shortened from its left to fit.
        sessions: answers whose reading is kept at the same time.

    Attributes:
        last: how the last correction was decoded, None before the first.
        passes: of the network, over all calls.
        tokens_read: by it, over all calls.
    """

    def __init__(self, network: Network, style: str, max_length: int, *, sessions: int = 4) -> None:
        if sessions < 1:
            raise InvalidInput(f"sessions is {sessions!r}; it must be >= 1")
        self.network, self.style, self.max_length = network, style, max_length
        self.last: CopyDecode | None = None
        self.passes = 0
        self._sessions = [Session(network) for _ in range(sessions)]
        self._turn = Lock()

    @property
    def tokens_read(self) -> int:
        """How many tokens the network has read."""
        return sum(session.tokens_read for session in self._sessions)

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
            session = self._session(question, prompt)
            self.last = copy_decode_tail(
                session.tail, prompt, draft, self.network.tokenizer.end_id, max_new_tokens=limit
            )
            self.passes += self.last.passes
        if len(self.last.tokens) == limit and not self.last.is_copy:
            raise RunFailed(f"the correction of a sentence did not end within {limit} tokens")
        return self._read(self.last.tokens, sentence)

    def anticipate(self, question: str, prefix: str, begun: str) -> None:
        """Read question, prefix and the beginning of a sentence that is still being written.

        When the sentence is complete, only its rest is left to read. What changes is forgotten.
        """
        tokenizer = self.network.tokenizer
        whole = self._prompt(question, prefix, begun, tokenizer.encode(begun))
        # what follows the sentence's text is not its own yet
        other = self._prompt(question, prefix, f"{begun}\x00", tokenizer.encode(begun))
        pairs = enumerate(zip(whole, other))
        known = next((place for place, (ours, theirs) in pairs if ours != theirs), len(whole))
        with self._turn:
            self._session(question, whole).read(whole[:known])

    def close(self) -> None:
        """Let go of what has been read."""
        self._sessions = [Session(self.network) for _ in self._sessions]

    def _prompt(self, question: str, prefix: str, sentence: str, draft: Sequence[int]) -> list[int]:
        if self.style == "aligner" and prefix:
            raise InvalidInput(
                "this corrector has style 'aligner' and reviews whole answers: use mode aligner"
            )
        space = self.max_length - len(draft) - 1
        return fit_prompt(self.network.tokenizer, question, prefix, sentence, self.style, space)

    def _session(self, question: str, prompt: Sequence[int]) -> Session:
        """Return the session that has read most of a prompt, if at least its question.

        Else the one that has rested longest.
        """
        best = max(self._sessions, key=lambda session: session.shared(prompt))
        if best.shared(prompt) < len(self.network.tokenizer.encode(question)):
            best = self._sessions[0]
        self._sessions.remove(best)
        self._sessions.append(best)
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
        **options: `style` and `base` (refuse others), `device`, `sessions`.

    Raises:
        MissingData: nothing there. InvalidInput: an unknown option, or what `load_corrector` says.
    """
    for option in options:
        if option not in _OPTIONS:
            raise unknown_name("option of corrector 'model'", option, _OPTIONS)
    sessions = int(options.pop("sessions", 4))
    network, description = load_corrector(path, **options)
    return ModelCorrector(
        network, description["style"], description["max_length"], sessions=sessions
    )
