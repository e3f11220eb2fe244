"""What the tests of `equipoise.text` share: a scripted server, a tiny model, the real model."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from equipoise.core import store
from equipoise.core.errors import MissingData

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass
class Reply:
    """What a scripted server answers: status, body in pieces, and how it misbehaves."""

    status: int = 200
    body: list[bytes] = field(default_factory=list)
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    breaks: bool = False  # the connection ends before the announced length
    delay: float = 0.0


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, [json.dumps(value).encode()], headers=headers)


def sse_reply(
    *texts: str,
    finish: str | None = "stop",
    usage: dict[str, int] | None = None,
    done: bool = True,
    **fields: Any,
) -> Reply:
    """A streamed chat answer in OpenAI's form."""
    events: list[object] = [{"choices": [{"delta": {"role": "assistant", "content": None}}]}]
    events += [{"choices": [{"delta": {"content": text}}]} for text in texts]
    if finish is not None:
        events.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    if usage is not None:
        events.append({"choices": [], "usage": usage})
    body = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    return Reply(
        200, [*body, *([b"data: [DONE]\n\n"] if done else [])], "text/event-stream", **fields
    )


class ScriptedServer:
    """Answers by a function of path and body, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any, dict[str, str]]] = []
        self.answer: Callable[[str, Any], Reply] = lambda path, body: Reply(404, [b"{}"])
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def _serve(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((self.path, body, headers))
                outer._send(self, outer.answer(self.path, body))

            do_GET = do_POST = _serve

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.stop = threading.Event()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        self.stop.wait(reply.delay)
        try:
            handler.send_response(reply.status)
            handler.send_header("Content-Type", reply.kind)
            size = sum(map(len, reply.body)) + (10 if reply.breaks else 0)
            handler.send_header("Content-Length", str(size))
            handler.send_header("Connection", "close")
            for name, value in reply.headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            for piece in reply.body:
                handler.wfile.write(piece)
                handler.wfile.flush()
        except OSError:
            pass
        handler.close_connection = True

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.requests]

    def close(self) -> None:
        self.stop.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture(scope="session")
def replies() -> Any:
    """The builders of replies, for test modules (which cannot import this file)."""

    class Replies:
        json = staticmethod(json_reply)
        sse = staticmethod(sse_reply)
        raw = Reply

    return Replies


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a randomly initialised Llama of 4 layers with a byte tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),  # pyright: ignore
            pad_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),  # pyright: ignore
            initializer_range=0.5,
        )
    )
    for byte, letter in enumerate(letters):
        if not letter.isascii():  # greedy answers are then text that a prefix can hold
            model.lm_head.weight.data[byte] = 0
    folder = tmp_path_factory.mktemp("tiny") / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The embedded model's file."""
    try:
        return store.path_of("smollm2-135m")
    except MissingData as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def llamacpp(gguf: Path) -> Iterator[Any]:
    from equipoise.text import load_backend

    with load_backend("llamacpp:smollm2-135m", threads=2) as backend:
        yield backend


@pytest.fixture(scope="session")
def dense(gguf: Path) -> Iterator[Any]:
    """The embedded model in transformers."""
    from equipoise.text import load_backend

    with load_backend("transformers:smollm2-135m", device="cpu") as backend:
        yield backend
