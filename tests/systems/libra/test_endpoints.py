"""`openai` contenders against a real server on loopback, and the embedded model itself."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from equipoise.core.errors import MissingData
from equipoise.systems.libra import Limits, evaluate, load_contenders
from equipoise.systems.libra.contenders import BackendContender

pytestmark = pytest.mark.standard
FAST = Limits(base_delay=0.01, concurrency=16)


class Stub(BaseHTTPRequestHandler):
    """Streams `The answer is 4`, or misbehaves as `server.plan` says for the n-th request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:  # pyright: ignore[reportAttributeAccessIssue]
            requests = self.server.requests  # pyright: ignore[reportAttributeAccessIssue]
            requests.append((time.monotonic(), body, self.headers.get("Authorization")))
            plan = self.server.plan.get(len(requests), "")  # pyright: ignore[reportAttributeAccessIssue]
        if self.server.gate:  # pyright: ignore[reportAttributeAccessIssue]
            self.server.gate.wait(60)  # pyright: ignore[reportAttributeAccessIssue]
        if plan.isdigit():
            self.send_response(int(plan))
            for name, value in (("Retry-After", "0.3"), ("Content-Length", "0")):
                self.send_header(name, value)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for piece in ("The answer", " is 4"):
            chunk = {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            if plan == "half":
                return
        done = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        self.wfile.write(f"data: {json.dumps(done)}\n\ndata: [DONE]\n\n".encode())

    def log_message(self, format, *args):
        return


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    made.requests, made.plan, made.gate = [], {}, None  # pyright: ignore[reportAttributeAccessIssue]
    made.lock = threading.Lock()  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def contenders_for(server, folder: Path, extra=""):
    path = folder / "contenders.toml"
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    path.write_text(
        f'[[contender]]\nname = "remote"\nkind = "openai"\nbase_url = "{url}"\nmodel = "m"\n{extra}'
    )
    return load_contenders(path)


def task_file(folder: Path, items: int) -> Path:
    rows = [{"id": f"{k:03d}", "question": f"{k}: 2 + 2?", "target": "4"} for k in range(items)]
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "t.toml").write_text(
        'name = "t"\ndimension = "capability"\nitems = "t.jsonl"\nscorer = "number"\n'
    )
    return folder / "t.toml"


def test_an_endpoint_is_asked_once_per_item_and_never_again(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-usual-key")
    monkeypatch.setenv("LIBRA_KEY", "the-named-key")
    task = task_file(tmp_path, 12)
    contenders = contenders_for(
        server, tmp_path, 'temperature = 0.5\nseed = 3\nsystem = "Be brief."'
    )
    result = evaluate(contenders, [task], out=tmp_path / "run", limits=FAST)[0]
    assert (result.score, result.missing) == (1.0, 0)
    assert len(server.requests) == 12
    _, body, key = server.requests[0]
    assert (body["model"], body["temperature"], body["seed"]) == ("m", 0.5, 3)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert key is None  # a key that the file does not name goes nowhere
    again = contenders_for(server, tmp_path, 'temperature = 0.5\nseed = 3\nsystem = "Be brief."')
    assert evaluate(again, [task], out=tmp_path / "run", limits=FAST)[0] == result
    assert len(server.requests) == 12
    keyed = contenders_for(server, tmp_path, 'api_key_env = "LIBRA_KEY"')
    evaluate(keyed, [task], out=tmp_path / "run", limits=FAST)
    assert server.requests[-1][2] == "Bearer the-named-key"
    stored = (tmp_path / "run" / "cache.db").read_bytes()
    assert b"the-named-key" not in stored


def test_busy_broken_and_half_answers_are_tried_again(server, tmp_path):
    server.plan = {1: "429", 2: "500", 3: "half"}
    result = evaluate(contenders_for(server, tmp_path), [task_file(tmp_path, 1)], limits=FAST)[0]
    assert result.score == 1.0
    assert len(server.requests) == 4


def test_five_tries_then_missing(server, tmp_path):
    server.plan = dict.fromkeys(range(1, 100), "503")
    result = evaluate(contenders_for(server, tmp_path), [task_file(tmp_path, 1)], limits=FAST)[0]
    assert (result.score, result.missing) == (None, 1)
    assert len(server.requests) == 5


def test_a_refused_request_is_not_repeated(server, tmp_path):
    server.plan = {1: "404"}
    result = evaluate(contenders_for(server, tmp_path), [task_file(tmp_path, 1)], limits=FAST)[0]
    assert result.missing == 1
    assert len(server.requests) == 1


def test_an_endpoint_that_is_down_leaves_missing_items(server, tmp_path):
    contenders = contenders_for(server, tmp_path)
    server.server_close()
    result = evaluate(contenders, [task_file(tmp_path, 2)], limits=FAST)[0]
    assert (result.score, result.missing) == (None, 2)


def test_requests_overlap(server, tmp_path):
    server.gate = threading.Barrier(FAST.concurrency)  # opens when that many are under way
    result = evaluate(contenders_for(server, tmp_path), [task_file(tmp_path, 32)], limits=FAST)[0]
    assert (result.score, server.gate.broken) == (1.0, False)


def test_the_embedded_model_answers_and_equal_seeds_give_equal_text(tmp_path):
    from equipoise.core.store import path_of

    try:
        path_of("smollm2-135m")
    except MissingData as error:
        pytest.skip(str(error))
    path = tmp_path / "contenders.toml"
    path.write_text(
        '[[contender]]\nname = "a"\nkind = "embedded"\nmax_tokens = 8\ntemperature = 0.9\n'
        '[[contender]]\nname = "b"\nkind = "embedded"\nmax_tokens = 8\nsystem = "Be brief."\n'
    )
    answers = []
    for run in ("one", "two"):
        contenders = load_contenders(path)
        results = evaluate(contenders, [task_file(tmp_path, 2)], out=tmp_path / run)
        assert [row.n for row in results] == [2, 2]
        answers.append((tmp_path / run / "answers.jsonl").read_text())
        for contender in contenders:
            assert isinstance(contender, BackendContender)
            contender.close()
    assert answers[0] == answers[1]
