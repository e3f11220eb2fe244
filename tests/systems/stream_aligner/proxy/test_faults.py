"""What a client of the proxy gets when something is wrong: its request, its key, the upstream."""

import asyncio
import hashlib
import json
import queue
import threading
import time
from typing import Any

import pytest
from starlette.responses import HTMLResponse, JSONResponse

from equipoise.systems.stream_aligner import ProxyConfig, create_app
from equipoise.systems.stream_aligner.correction import Correction
from equipoise.systems.stream_aligner.proxy import exchange as exchange_module
from equipoise.systems.stream_aligner.proxy import reloading as reloading_module
from equipoise.systems.stream_aligner.proxy.reviewing import Reviewer
from tests.systems.stream_aligner.scripted import (
    DONE,
    QUESTION,
    Die,
    Finish,
    Raw,
    Stall,
    Step,
    Usage,
    as_bytes,
    proxied,
    saying,
    until,
)

TEXT = "One is here. Two is there."


def run(work):
    return asyncio.run(work)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"seed": 1.5}, "seed"),
        ({"model": 7}, "model"),
        ({"tools": {}}, "tools"),
    ],
)
def test_unusable_fields_are_named_and_the_upstream_is_not_asked(fields, param):
    async def work():
        async with proxied(saying(TEXT)) as proxy:
            answer = await proxy.chat(**fields)
            assert answer.status_code == 400
            error = answer.json()["error"]
            assert error["param"] == param
            assert error["type"] == "invalid_request_error"
            assert set(error) == {"message", "type", "param", "code"}
            assert not proxy.upstream.bodies

    run(work())


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_numbers_that_are_no_json_are_named(number):
    async def work():
        async with proxied(saying(TEXT)) as proxy:
            body = json.dumps({"messages": QUESTION, "temperature": 0})
            raw = body.replace('"temperature": 0', f'"temperature": {number}')
            answer = await proxy.client.post("/v1/chat/completions", content=raw)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "temperature")
            asked = {"prompt": "x", "logprobs": 0}
            answer = await proxy.client.post("/v1/completions", json=asked)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "logprobs")
            assert not proxy.upstream.bodies

    run(work())


def test_bodies_that_are_no_requests():
    async def work():
        async with proxied(saying(TEXT), max_body=2000) as proxy:
            for raw, status in (
                (b"{", 400),
                (b"[1]", 400),
                (b"\xff\xfe", 400),
                (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400),
                (b"x" * 3000, 413),
            ):
                answer = await proxy.client.post("/v1/chat/completions", content=raw)
                assert answer.status_code == status, raw[:50]
                assert answer.json()["error"]["message"]

            async def chunks():
                for _ in range(30):
                    yield b"x" * 100

            answer = await proxy.client.post("/v1/chat/completions", content=chunks())
            assert answer.status_code == 413
            for fields in ({"prompt": [1, 2]}, {"prompt": ["a", "b"]}, {"prompt": "a", "n": 3}):
                answer = await proxy.client.post("/v1/completions", json=fields)
                assert answer.status_code == 400
            answer = await proxy.client.post("/v1/completions", json={"prompt": "a", "logprobs": 1})
            assert answer.json()["error"]["param"] == "logprobs"
            assert not proxy.upstream.bodies

    run(work())


def test_characters_of_every_kind_are_preserved_and_half_surrogates_replaced():
    odd = "\U0001f642 e\u0301 \u05e9\u05dc\u05d5\u05dd.\r\n\x00\u4f60\u597d\u3002\u597d"
    half = Raw(b'data: {"choices":[{"delta":{"content":" half \\ud83d."}}]}\n\n')
    emoji = as_bytes(odd)
    cut = emoji.index(b"\\ud83d") + 6  # between the halves of the escaped emoji

    async def work():
        def script(body, number):
            pieces = [Raw(emoji[:cut]), 0.02, Raw(emoji[cut:])]
            return [*pieces, half, Finish(), DONE]

        async with proxied(script) as proxy:
            assert (await proxy.stream()).text == odd + " half \ufffd."
        plain = b'data: {"choices":[{"delta":{"content":"\xf0\x9f\x99\x82 day."}}]}\n\n'
        split = [Raw(plain[:37]), 0.02, Raw(plain[37:39]), 0.02, Raw(plain[39:])]
        async with proxied(lambda b, n: [*split, Finish(), DONE]) as proxy:
            assert (await proxy.stream()).text == "\U0001f642 day."

    run(work())


@pytest.mark.parametrize(
    "first", [JSONResponse({"error": "tired"}, 500), HTMLResponse("<p>no</p>")]
)
def test_one_retry_before_the_first_byte(first):
    async def work():
        async with proxied(lambda b, n: first if n == 0 else saying(TEXT)(b, n)) as proxy:
            assert (await proxy.stream()).text == TEXT
            assert len(proxy.upstream.bodies) == 2

    run(work())


def test_a_failing_upstream_is_502_with_its_words_and_then_left_alone():
    words = "x" * 500

    async def work():
        async with proxied(lambda b, n: JSONResponse({"error": {"message": words}}, 503)) as proxy:
            answer = await proxy.chat(stream=True)
            assert answer.status_code == 502
            message = answer.json()["error"]["message"]
            assert "503" in message
            assert "x" * 200 in message
            assert "x" * 201 not in message
            for _ in range(4):
                await proxy.chat()
            asked = len(proxy.upstream.bodies)
            assert asked == 10  # two tries each
            answer = await proxy.chat()
            assert answer.status_code == 502
            assert "retry-after" in answer.headers
            assert len(proxy.upstream.bodies) == asked, "the breaker did not open"
            assert 'requests_total{status="502"} 6.0' in (await proxy.client.get("/metrics")).text

    run(work())


def test_unreachable_upstreams_are_502_and_make_the_proxy_not_ready():
    async def work():
        async with proxied(saying(TEXT), upstream="http://127.0.0.1:9/v1") as proxy:
            assert (await proxy.chat()).status_code == 502
            ready = await proxy.client.get("/readyz")
            assert ready.status_code == 503
            assert "upstream" in ready.json()["reasons"][0]
            assert (await proxy.client.get("/healthz")).status_code == 200

    run(work())


@pytest.mark.parametrize("status", [401, 429, 400, 404])
def test_refusals_of_the_upstream_are_passed_on(status, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", "top-secret-key")
    said = {"error": {"message": "not with top-secret-key"}}

    async def work():
        reply = JSONResponse(said, status, {"retry-after": "7"})
        async with proxied(lambda b, n: reply, upstream_key_env="UPSTREAM_KEY") as proxy:
            answer = await proxy.chat(stream=True)
            assert answer.status_code == status
            assert proxy.upstream.headers[0]["authorization"] == "Bearer top-secret-key"
            assert "top-secret-key" not in answer.text
            assert len(proxy.upstream.bodies) == 1, "a refusal is not tried again"
            if status == 429:
                assert answer.headers["retry-after"] == "7"

    run(work())


@pytest.mark.parametrize("end", [[Die()], []])
def test_an_upstream_lost_mid_sentence(end, tmp_path):
    path = tmp_path / "audit.jsonl"

    async def work():
        script = ["One is here.", " Two is", *end]
        async with proxied(lambda b, n: list(script), audit=path) as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "One is here."
            assert streamed.error is not None
            assert streamed.error["code"] == "upstream_lost"
            assert streamed.finish_reason is None
            assert not streamed.done
            answer = await proxy.chat()
            assert answer.status_code == 502
            assert "Two is" not in answer.text
            assert proxy.upstream.open == 0

    run(work())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines if "event" in line] == ["upstream_lost"] * 2


def test_a_late_upstream_is_504_or_an_error_event():
    async def work():
        async with proxied(lambda b, n: [Stall()], upstream_timeout=0.3) as proxy:
            answer = await proxy.chat()
            assert answer.status_code == 504
        script = ["One is here.", " Two", Stall()]
        async with proxied(lambda b, n: list(script), upstream_timeout=0.3) as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "One is here."
            assert streamed.error is not None
            assert streamed.error["code"] == "upstream_timeout"
            await until(lambda: proxy.upstream.open == 0)

    run(work())


def failing(question, prefix, sentence):
    if "Two" in sentence:
        raise ValueError("no idea")
    return sentence


def hanging(question, prefix, sentence):
    if "Two" in sentence:
        time.sleep(0.5)
    return sentence


def numb(question, prefix, sentence):
    return 5 if "Two" in sentence else sentence


@pytest.mark.parametrize("corrector", [failing, hanging, numb])
@pytest.mark.parametrize(
    ("policy", "shown", "reason"),
    [
        ("closed", "One is here.", "content_filter"),
        ("open", TEXT, "stop"),
        ("static", "One is here. (left out)", "content_filter"),
    ],
)
def test_a_failed_review_follows_the_policy(corrector, policy, shown, reason, tmp_path):
    path = tmp_path / "audit.jsonl"
    options = {"on_failure": policy, "static_text": "(left out)", "corrector_timeout": 0.1}

    async def work():
        async with proxied(saying(TEXT), corrector, audit=path, **options) as proxy:
            streamed = await proxy.stream()
            assert (streamed.text, streamed.finish_reason) == (shown, reason)
            assert streamed.report["unreviewed"] == 1
            page = (await proxy.client.get("/metrics")).text
            assert f'failures_total{{policy="{policy}"}} 1.0' in page

    run(work())
    notes = [json.loads(line).get("note", "") for line in path.read_text().splitlines()]
    assert ("late" in notes[1]) == (corrector is hanging)


def test_a_hanging_corrector_keeps_its_threads_and_opens_its_breaker():
    go = threading.Event()
    before = set(threading.enumerate())

    async def work():
        reviewer = Reviewer(lambda q, p, s: str(go.wait(5)), timeout=0.05, threads=3)
        for _ in range(5):
            said, *_ = await reviewer.review("q", "", "s")
            assert "late" in getattr(said, "reason", "")
        assert len(set(threading.enumerate()) - before) == 3
        said, seconds, _ = await reviewer.review("q", "", "s")
        assert "in a row" in getattr(said, "reason", "")
        assert seconds == 0
        go.set()
        reviewer.retire()

    run(work())
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), "a retired corrector keeps no thread"


def test_a_job_that_was_just_taken_does_not_keep_the_next_one_waiting():
    taken, go = threading.Event(), threading.Event()

    class Queue(queue.SimpleQueue):
        """Its first taker dwells on what it took."""

        def get(self, block=True, timeout=None):
            job = super().get(block, timeout)
            if job is not None and not taken.is_set():
                taken.set()
                go.wait(20)
            return job

    async def work():
        reviewer = Reviewer(lambda q, p, s: s, threads=2)
        reviewer._jobs = Queue()
        first = asyncio.ensure_future(reviewer.review("q", "", "One."))
        await until(taken.is_set)
        second = await reviewer.review("q", "", "Two.")
        assert second.said == Correction("Two.", "copy")
        go.set()
        assert (await first).said == Correction("One.", "copy")
        reviewer.retire()

    run(work())


@pytest.mark.parametrize("data", ['{"x": "sk-theirs"}', '{"error": "sk-theirs"}', "sk-theirs"])
def test_no_answer_of_the_upstream_shows_its_key(data, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", "sk-theirs")

    async def work():
        script = [Raw(f"data: {data}\n\n".encode())]
        async with proxied(lambda b, n: script, upstream_key_env="UPSTREAM_KEY") as proxy:
            answer = await proxy.chat()
            assert answer.status_code == 502
            assert "[key]" in answer.text
            assert "sk-theirs" not in answer.text

    run(work())


def test_half_a_character_of_a_corrector_is_replaced_before_it_is_fed_back():
    async def work():
        async with proxied(saying(TEXT), lambda q, p, s: s.replace("One", "\ud800")) as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "\ufffd is here. Two is there."
            assert proxy.upstream.bodies[1]["messages"][-1]["content"] == "\ufffd is here."

    run(work())


def test_a_try_after_an_opening_is_no_failure_when_an_edit_abandons_it():
    def script(body, number):
        return ["One.", " Two.", Stall()] if number == 0 else [" Two.", Finish(), DONE]

    async def work():
        async with proxied(script, lambda q, p, s: s.replace("One", "Uno")) as proxy:
            breaker = proxy.app.state.desk.upstream._breaker
            for _ in range(5):
                breaker.failed()
            breaker._open_until = 0.0  # it has been open long enough
            streamed = await proxy.stream()
            assert (streamed.text, streamed.error) == ("Uno. Two.", None)
            assert breaker.closed_in() == 0

    run(work())


def test_a_full_disk_follows_the_policy_and_turns_readiness_red(tmp_path):
    async def work(policy):
        path = tmp_path / f"{policy}.jsonl"
        async with proxied(saying(TEXT), audit=path, on_failure=policy) as proxy:
            audit = proxy.app.state.desk.records.audit
            full = [True]
            real = type(audit)._append

            def append(line, **options):
                if full[0]:
                    raise OSError(28, "No space left on device")
                real(audit, line, **options)

            audit._append = append
            streamed = await proxy.stream()
            ready = await proxy.client.get("/readyz")
            assert ready.status_code == 503
            assert "audit" in ready.json()["reasons"][0]
            full[0] = False
            assert (await proxy.client.get("/readyz")).status_code == 200
            return streamed.text, streamed.finish_reason

    assert run(work("closed")) == ("", "content_filter")
    assert run(work("open")) == (TEXT, "stop")


def sha(key):
    return hashlib.sha256(key.encode()).hexdigest()


def test_keys_rates_and_their_reloading(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    monkeypatch.setenv("THEIR_KEY", "their-upstream-key")
    entries = [
        {"name": "ann", "sha256": sha("key-a"), "upstream_key_env": "THEIR_KEY"},
        {"name": "bob", "sha256": sha("key-b"), "requests_per_minute": 1},
    ]
    path.write_text(json.dumps(entries))

    async def work():
        async with proxied(saying(TEXT), keys=path) as proxy:

            async def ask(key):
                headers = {"authorization": f"Bearer {key}"} if key else {}
                body = {"model": "m", "messages": QUESTION}
                url = "/v1/chat/completions"
                return await proxy.client.post(url, json=body, headers=headers)

            assert (await ask(None)).status_code == 401
            wrong = await ask("key-x")
            assert wrong.status_code == 401
            assert wrong.json()["error"]["type"] == "authentication_error"
            assert not proxy.upstream.bodies
            assert (await ask("key-a")).status_code == 200
            assert proxy.upstream.headers[0]["authorization"] == "Bearer their-upstream-key"
            assert (await ask("key-b")).status_code == 200
            limited = await ask("key-b")
            assert limited.status_code == 429
            assert 0 < int(limited.headers["retry-after"]) <= 60
            for page in ("/metrics", "/readyz", "/v1/models", "/diff", "/v1/files"):
                assert (await proxy.client.get(page)).status_code == 401, page
            assert (await proxy.client.get("/healthz")).status_code == 200
            entries[0]["sha256"] = sha("key-new")
            path.write_text(json.dumps(entries) + " ")
            assert (await ask("key-a")).status_code == 401
            assert (await ask("key-new")).status_code == 200
            path.write_text("[broken")
            assert (await ask("key-new")).status_code == 200, "a broken file changes nothing"
            headers = {"authorization": "Bearer key-new"}
            metrics = (await proxy.client.get("/metrics", headers=headers)).text
            assert 'requests_total{status="401"}' in metrics
            assert 'requests_total{status="429"} 1.0' in metrics
            opened = await proxy.client.get("/diff?token=key-new")
            assert opened.status_code == 303
            assert (await proxy.client.get("/diff")).status_code == 200, "the cookie proves it"
            assert "key-new" not in str(proxy.client.cookies)

    run(work())


def test_a_broken_configuration_keeps_no_withdrawn_key(tmp_path):
    keys, file = tmp_path / "keys.json", tmp_path / "proxy.toml"
    keys.write_text(json.dumps([{"name": "ann", "sha256": sha("key-a")}]))
    file.write_text("max_chars = 300")

    async def work():
        async with proxied(saying(TEXT), keys=keys, config=file) as proxy:
            headers = {"authorization": "Bearer key-a"}
            assert (await proxy.client.get("/v1/models", headers=headers)).status_code == 200
            file.write_text("max_chars = [broken")
            assert (await proxy.client.get("/v1/models", headers=headers)).status_code == 200
            keys.write_text("[]")
            assert (await proxy.client.get("/v1/models", headers=headers)).status_code == 401

    run(work())


def test_a_slow_corrector_keeps_no_withdrawn_key(tmp_path, monkeypatch):
    keys, file, go = tmp_path / "keys.json", tmp_path / "proxy.toml", threading.Event()
    keys.write_text(json.dumps([{"name": "ann", "sha256": sha("key-a")}]))
    file.write_text("")

    def slow(spec):
        go.wait(60)
        return lambda question, prefix, sentence: sentence

    async def work():
        async with proxied(saying(TEXT), keys=keys, config=file) as proxy:
            monkeypatch.setattr(reloading_module, "make_corrector", slow)
            headers = {"authorization": "Bearer key-a"}
            file.write_text('corrector = "arithmetic"')
            assert (await proxy.client.get("/v1/models", headers=headers)).status_code == 200
            keys.write_text("[]")
            assert (await proxy.client.get("/v1/models", headers=headers)).status_code == 401
            assert not go.is_set()
            go.set()

    run(work())


def test_the_probe_asks_with_the_clients_upstream_key_and_not_again_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("THEIR_KEY", "their-upstream-key")
    keys = tmp_path / "keys.json"
    entry = {"name": "ann", "sha256": sha("key-a"), "upstream_key_env": "THEIR_KEY"}
    keys.write_text(json.dumps([entry]))

    async def work():
        def script(body, number):
            return JSONResponse({"error": {"message": "no such model"}}, 404)

        async with proxied(script, keys=keys, prefill="auto") as proxy:
            await until(lambda: len(proxy.upstream.bodies) == 1)  # at the start, without a key
            assert "authorization" not in proxy.upstream.headers[0]
            headers = {"authorization": "Bearer key-a"}
            body = {"model": "m", "messages": QUESTION}
            for _ in range(2):
                answer = await proxy.client.post("/v1/chat/completions", json=body, headers=headers)
                assert answer.status_code == 404
            said = [found["authorization"] for found in proxy.upstream.headers[1:]]
            assert said == ["Bearer their-upstream-key"] * 3, "one probe, two requests"

    run(work())


def test_one_key_from_the_environment(monkeypatch):
    monkeypatch.setenv("PROXY_KEY", "open-sesame")

    async def work():
        async with proxied(saying(TEXT), key_env="PROXY_KEY") as proxy:
            assert (await proxy.chat()).status_code == 401
            proxy.client.headers["authorization"] = "Bearer open-sesame"
            assert (await proxy.chat()).status_code == 200

    run(work())


def test_requests_queue_and_the_next_gets_503():
    async def work():
        script = ["One.", Step(), Finish(), DONE]
        async with proxied(lambda b, n: list(script), max_concurrent=1, queue=1) as proxy:
            first = asyncio.ensure_future(proxy.chat())
            await until(lambda: len(proxy.upstream.bodies) == 1)
            second = asyncio.ensure_future(proxy.chat())
            await until(lambda: proxy.app.state.desk.admission.waiting == 1)
            third = await proxy.chat()
            assert third.status_code == 503
            assert third.json()["error"]["code"] == "queue_full"
            assert len(proxy.upstream.bodies) == 1, "the second waits"
            proxy.upstream.steps.release()
            assert (await first).status_code == 200
            proxy.upstream.steps.release()
            assert (await second).status_code == 200

    run(work())


def test_a_server_that_is_stopping_takes_nothing_new():
    async def work():
        async with proxied(saying(TEXT)) as proxy:
            proxy.app.state.is_stopping = lambda: True
            answer = await proxy.chat()
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "draining"
            assert (await proxy.client.get("/readyz")).status_code == 503

    run(work())


def test_heartbeats_while_text_is_held_back(monkeypatch):
    kept = exchange_module.AnswerEndpoint.__init__

    def quick(self, kind, desk, *, heartbeat=0.05):
        kept(self, kind, desk, heartbeat=heartbeat)

    monkeypatch.setattr(exchange_module.AnswerEndpoint, "__init__", quick)

    async def work():
        async with proxied(lambda b, n: ["One", Step(), ".", Finish(), DONE]) as proxy:
            body = {"model": "m", "messages": QUESTION, "stream": True}
            async with proxy.client.stream("POST", "/v1/chat/completions", json=body) as response:
                text = ""
                async for chunk in response.aiter_text():
                    text += chunk
                    if text.count(": waiting") == 2:
                        proxy.upstream.steps.release()
            assert text.count(": waiting") >= 2
            assert '"content":"One."' in text

    run(work())


def test_fields_that_the_server_refuses_are_left_out_and_real_faults_passed_on():
    def script(body, number):
        for field in ("stream_options", "continue_final_message"):
            if field in body:
                return JSONResponse({"error": {"message": f"unknown field {field}"}}, 400)
        return saying(TEXT, usage=False)(body, number)

    async def work():
        async with proxied(script, lambda q, p, s: s.upper()) as proxy:
            streamed = await proxy.stream(stream_options={"include_usage": True})
            assert streamed.text == "ONE IS HERE. TWO IS THERE."
            assert streamed.usage is not None
            assert streamed.usage["completion_tokens"] > 0
            asked = len(proxy.upstream.bodies)
            assert (await proxy.stream()).text == "ONE IS HERE. TWO IS THERE."
            assert len(proxy.upstream.bodies) == asked + 2, "it was learnt"

    run(work())


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("way", ["continues", "echoes", "opens a new turn"])
def test_auto_probes_once_and_finds_out_what_a_trailing_message_does(way, counts):
    import re

    def script(body, number):
        last = body["messages"][-1]
        begun = last["content"] if last["role"] == "assistant" else ""
        prompt = 10 + len(begun.split()) + (4 if way.startswith("opens") and begun else 0)
        if way == "opens a new turn" or not begun:
            text = "A rose is red. It is nice."
        else:
            numbers = re.findall(r"\d+", begun)
            text = (begun if way == "echoes" else "") + f" and so on {numbers}. End."
        pieces = re.findall(r"\s*\S+", text)[: body.get("max_tokens") or 99]
        usage = Usage(prompt, len(pieces)) if counts else Usage(7, 5)
        return [*pieces, Finish(), usage, DONE]

    async def work():
        def corrector(question, prefix, sentence):
            return "A lily is white." if sentence == "A rose is red." else sentence

        async with proxied(script, corrector, prefill="auto") as proxy:
            streamed = await proxy.stream()
            probes = len(proxy.upstream.bodies)
            assert streamed.report["induction"] is (way != "opens a new turn")
            if way == "opens a new turn":
                assert streamed.text == "A lily is white. It is nice."
            else:
                assert streamed.text == "A lily is white. and so on []. End."
            await proxy.stream()
            assert len(proxy.upstream.bodies) == probes + streamed.report["upstream_requests"]

    run(work())


def test_start_is_refused_for_what_cannot_work(tmp_path, monkeypatch):
    from equipoise.core.errors import InvalidInput, RunFailed

    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    rules = tmp_path / "rules.json"
    rules.write_text('[{"find": "a", "replace": "b"}, {"find": "("}]')
    replay = tmp_path / "answers.jsonl"
    replay.write_text('{"question": "q", "answer": "a"}\n')
    good: dict[str, Any] = {"upstream": f"replay:{replay}", "corrector": "identity"}
    for change, message in (
        ({"corrector": "identiti"}, "did you mean 'identity'"),
        ({"corrector": f"rules:{rules}"}, "entry 2"),
        ({"upstream": "locl:x"}, "unknown upstream"),
        ({"mode": "streem"}, "did you mean 'stream'"),
        ({"on_failure": "close"}, "did you mean 'closed'"),
        ({"reasoning": "show"}, "reasoning"),
        ({"json_mode": "hole"}, "did you mean 'whole'"),
        ({"prefill": "autos"}, "did you mean 'auto'"),
        ({"key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY"),
        ({"keys": tmp_path / "none.json"}, "keys file"),
        ({"max_chars": 3}, "max_chars"),
        ({"corrector_timeout": 0}, "corrector_timeout"),
        ({"queue": -1}, "queue"),
        ({"port": 70000}, "port"),
        ({"upstream": ""}, "upstream is not given"),
    ):
        with pytest.raises(InvalidInput, match=message):
            create_app(ProxyConfig(**{**good, **change}))
    with pytest.raises(RunFailed, match="cannot be written"):
        create_app(ProxyConfig(**good, audit=replay / "audit.jsonl"))
