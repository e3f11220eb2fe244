"""The proxy in front of a scripted upstream: what leaves, what is asked, what is counted."""

import asyncio
import json
import re
from typing import Any

import httpx2
import pytest

from equipoise.systems.stream_aligner import Correction, ProxyConfig, create_app
from equipoise.text.prefill import Continuation
from tests.systems.stream_aligner.scripted import (
    DONE,
    QUESTION,
    Finish,
    Raw,
    ScriptedUpstream,
    Step,
    Usage,
    make_app,
    proxied,
    running,
    saying,
)

TEXT = "The day is mild.  It may rain later. Take a coat."


def first_edited(question, prefix, sentence):
    return "The day is warm." if sentence == "The day is mild." else sentence


def run(work):
    return asyncio.run(work)


@pytest.mark.parametrize("speculate", [True, False])
def test_identity_is_byte_identical(speculate):
    async def work():
        async with proxied(saying(TEXT), speculate=speculate) as proxy:
            streamed = await proxy.stream(stream_options={"include_usage": True})
            assert streamed.text == TEXT
            assert streamed.texts == ["The day is mild.", "  It may rain later.", " Take a coat."]
            assert streamed.done
            assert streamed.finish_reason == "stop"
            assert len(proxy.upstream.bodies) == (1 if speculate else 3)
            assert streamed.report["upstream_requests"] == len(proxy.upstream.bodies)
            assert streamed.report["copies"] == streamed.report["corrector_calls"] == 3
            whole = (await proxy.chat()).json()
            assert whole["choices"][0]["message"]["content"] == TEXT
            if speculate:
                assert streamed.report["discarded_tokens"] == 0
                assert streamed.usage == {
                    "prompt_tokens": 7,
                    "completion_tokens": 12,
                    "total_tokens": 19,
                }
                assert whole["usage"] == streamed.usage

    run(work())


def test_an_edit_is_fed_back_as_a_trailing_assistant_message():
    async def work():
        async with proxied(saying(TEXT), first_edited) as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "The day is warm.  It may rain later. Take a coat."
            first, second = proxy.upstream.bodies
            assert first["messages"] == QUESTION
            assert second["messages"][:-1] == QUESTION
            assert second["messages"][-1] == {"role": "assistant", "content": "The day is warm."}
            assert second["continue_final_message"] is True
            assert second["add_generation_prompt"] is False
            assert streamed.report["edits"] == 1
            assert streamed.report["copies"] == 2
            assert streamed.report["induction"] is True
            assert streamed.report["upstream_tokens"] >= 11
            assert proxy.upstream.paths.count("/v1/chat/completions") == 2
            assert "/v1/models" not in proxy.upstream.paths

    run(work())


def test_one_identity_and_the_headers_of_a_stream():
    async def work():
        async with proxied(saying(TEXT)) as proxy:
            body = {"model": "m", "messages": QUESTION, "stream": True}
            async with proxy.client.stream("POST", "/v1/chat/completions", json=body) as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                assert response.headers["cache-control"] == "no-cache"
                assert response.headers["x-accel-buffering"] == "no"
                await response.aread()
            streamed = await proxy.stream()
            events = [event for event in streamed.events if event != "[DONE]"]
            assert len({(e["id"], e["created"], e["model"], e["object"]) for e in events}) == 1
            assert events[0]["choices"][0]["delta"]["role"] == "assistant"
            assert events[-1]["choices"][0]["finish_reason"] == "stop"
            assert all(event["choices"] for event in events), "usage was not asked for"

    run(work())


def test_text_leaves_when_it_is_decided_and_not_later():
    """A stepped upstream: every piece waits for the test, so a buffer would show."""

    def script(body, number):
        return ["One is", Step(), " here.", Step(), " Two", Step(), " follows.", Finish(), DONE]

    async def work():
        async with proxied(script) as proxy:
            events = proxy.events()
            role = await asyncio.wait_for(anext(events), 5)  # nothing of the text is decided
            assert role["choices"][0]["delta"]["role"] == "assistant"
            following = asyncio.ensure_future(anext(events))
            proxy.upstream.steps.release()
            done, _ = await asyncio.wait([following], timeout=0.2)
            assert not done, "'One is here.' may go on; it was not decided"
            proxy.upstream.steps.release()  # " Two": the blank decides
            event = await asyncio.wait_for(following, 5)
            assert event["choices"][0]["delta"]["content"] == "One is here."
            proxy.upstream.steps.release()
            event = await asyncio.wait_for(anext(events), 5)
            assert event["choices"][0]["delta"]["content"] == " Two follows."
            await events.aclose()

    run(work())


def test_the_upstream_is_read_on_during_a_review():
    """Speculation: the second sentence arrives while the first is reviewed."""
    import threading

    go = threading.Event()

    def slow(question, prefix, sentence):
        go.wait(5)
        return sentence

    async def work():
        async with proxied(saying("One. Two. Three."), slow) as proxy:
            task = asyncio.ensure_future(proxy.stream())
            for _ in range(200):
                if proxy.upstream.open == 0 and proxy.upstream.bodies:
                    break
                await asyncio.sleep(0.01)
            assert proxy.upstream.open == 0, "the upstream was not read on"
            assert not task.done()
            go.set()
            assert (await task).text == "One. Two. Three."
            page = (await proxy.client.get("/metrics")).text
            assert 'equipoise_stream_speculation_total{result="hit"} 2.0' in page

    run(work())


def test_without_prefill_sentences_are_reviewed_and_edits_not_fed_back():
    async def work():
        async with proxied(saying(TEXT), first_edited, prefill="none") as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "The day is warm.  It may rain later. Take a coat."
            assert len(proxy.upstream.bodies) == 1
            assert streamed.report["induction"] is False
            assert streamed.report["discarded_tokens"] == 0
            assert streamed.report["rounds"] == 3

    run(work())


def test_a_drop_is_asked_anew_and_two_end_the_answer():
    def drops(question, prefix, sentence):
        return "" if "rain" in sentence else sentence

    async def work():
        async with proxied(saying(TEXT), drops) as proxy:
            streamed = await proxy.stream(seed=5)
            assert streamed.text == "The day is mild."
            assert streamed.finish_reason == "content_filter"
            assert streamed.report["drops"] == 2
            assert [body["seed"] for body in proxy.upstream.bodies] == [5, 6]

    run(work())


def test_a_stop_verdict_ends_the_answer():
    def stops(question, prefix, sentence):
        return Correction("That is all.", "stop") if "rain" in sentence else sentence

    async def work():
        async with proxied(saying(TEXT), stops) as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "The day is mild.  That is all."
            assert (streamed.finish_reason, streamed.report["stops"]) == ("stop", 1)

    run(work())


def test_max_tokens_is_decremented_over_restarts():
    async def work():
        async with proxied(saying(TEXT), first_edited) as proxy:
            streamed = await proxy.stream(max_tokens=9)
            first, second = (body["max_tokens"] for body in proxy.upstream.bodies)
            assert first == 9
            assert 0 < second < 9
            assert streamed.finish_reason == "length"
        async with proxied(saying(TEXT), lambda q, p, s: s + " And more of it.") as proxy:
            streamed = await proxy.stream(max_completion_tokens=4)
            assert [b["max_completion_tokens"] for b in proxy.upstream.bodies] == [4]
            assert streamed.finish_reason == "length"

    run(work())


@pytest.mark.parametrize(
    ("stop", "shown"),
    [
        ("later", "The day is warm.  It may rain "),
        ("warm.  It", "The day is "),  # spans the restart after the edit
        (["nowhere", "coat"], "The day is warm.  It may rain later. Take a "),
    ],
)
def test_stop_strings_match_across_restarts_and_are_never_emitted(stop, shown):
    async def work():
        async with proxied(saying(TEXT), first_edited) as proxy:
            streamed = await proxy.stream(stop=stop)
            assert streamed.text == shown.rstrip() or streamed.text == shown
            assert streamed.finish_reason == "stop"
            assert (stop if isinstance(stop, str) else stop[1]) not in streamed.text

    run(work())


CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}


def test_tool_calls_pass_as_they_are_and_in_order():
    more = [{"index": 0, "function": {"arguments": part}} for part in ('{"pl\u00e4ce":', ' "x"}')]

    def script(body, number):
        calls = [{"tool_calls": [delta]} for delta in (CALL, *more)]
        return ["Let me", " look.", *calls, Finish("tool_calls"), Usage(), DONE]

    async def work():
        async with proxied(script, lambda q, p, s: s.upper()) as proxy:
            streamed = await proxy.stream(tools=[{"type": "function"}])
            assert streamed.text == "LET ME LOOK."
            deltas = [d for d in streamed.deltas if d.get("content") or "tool_calls" in d]
            assert deltas[0] == {"content": "LET ME LOOK."}
            assert [d["tool_calls"] for d in deltas[1:]] == [[CALL], [more[0]], [more[1]]]
            assert streamed.finish_reason == "tool_calls"
            message = (await proxy.chat()).json()["choices"][0]["message"]
            assert message["content"] == "LET ME LOOK."
            assert message["tool_calls"] == [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"pl\u00e4ce": "x"}'},
                }
            ]

    run(work())


@pytest.mark.parametrize(
    ("said", "policy", "shown", "passed", "reason"),
    [
        (Correction("No.", "stop"), "closed", "No.", False, "stop"),
        (None, "closed", "", False, "content_filter"),
        (None, "static", "Sorry.", False, "content_filter"),
        (None, "open", "I will look.", True, "tool_calls"),
        ("", "closed", "", False, "content_filter"),
        ("I look.", "closed", "I look.", True, "tool_calls"),
    ],
)
def test_no_tool_call_follows_a_refused_text(said, policy, shown, passed, reason):
    def script(body, number):
        return ["I will look.", {"tool_calls": [CALL]}, Finish("tool_calls"), DONE]

    async def work():
        options = {"on_failure": policy, "static_text": "Sorry."}
        async with proxied(script, lambda q, p, s: said, **options) as proxy:
            streamed = await proxy.stream()
            assert (streamed.text, streamed.finish_reason) == (shown, reason)
            assert any("tool_calls" in delta for delta in streamed.deltas) is passed

    run(work())


def test_usage_counts_tool_calls_and_no_token_of_an_edit_twice():
    def script(body, number):
        call = {"tool_calls": [CALL]}
        said = [call, Finish("tool_calls")] if body.get("tools") else ["So it", " is.", Finish()]
        return [*said, Usage(7, 9), DONE]

    async def work():
        async with proxied(script, lambda q, p, s: "So.") as proxy:
            called = (await proxy.chat(tools=[{"type": "function"}])).json()["usage"]
            assert called == {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
            edited = (await proxy.chat()).json()
            assert edited["choices"][0]["message"]["content"] == "So."
            assert edited["usage"]["prompt_tokens"] == 7

    run(work())


def test_tool_calls_without_text_are_not_held():
    def script(body, number):
        return [{"tool_calls": [CALL]}, Step(), Finish("tool_calls"), DONE]

    async def work():
        async with proxied(script) as proxy:
            events = proxy.events()
            await anext(events)
            event = await asyncio.wait_for(anext(events), 5)
            assert event["choices"][0]["delta"] == {"tool_calls": [CALL]}
            await events.aclose()

    run(work())


JSON = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("said", "shown", "reason"),
    [
        ('{"a": "B. C."}', '{"a": "B. C."}', "stop"),
        ('{"a": "B. D."}', '{"a": "B. D."}', "stop"),
        ('{"a": ', "", "content_filter"),
    ],
)
def test_json_is_one_segment_and_stays_json(said, shown, reason):
    calls = []

    def corrector(question, prefix, sentence):
        calls.append(sentence)
        return said

    async def work():
        async with proxied(saying('{"a": "B. C."}'), corrector) as proxy:
            streamed = await proxy.stream(**JSON)
            assert calls == ['{"a": "B. C."}']
            assert (streamed.text, streamed.finish_reason) == (shown, reason)

    run(work())


def test_json_of_a_raw_completion_is_one_segment_too():
    seen = []

    def note(question, prefix, sentence):
        seen.append(sentence)
        return sentence

    async def work():
        async with proxied(saying('{"a": "B. C."}'), note) as proxy:
            body = {"model": "m", "prompt": "JSON, please.", **JSON}
            answer = (await proxy.client.post("/v1/completions", json=body)).json()
            assert answer["choices"][0]["text"] == '{"a": "B. C."}'

    run(work())
    assert seen == ['{"a": "B. C."}']


def test_json_mode_passes_or_is_rejected():
    async def work():
        async with proxied(saying('{"a": 1}'), lambda q, p, s: "no", json_mode="pass") as proxy:
            assert (await proxy.stream(**JSON)).text == '{"a": 1}'
        async with proxied(saying('{"a": 1}'), json_mode="reject") as proxy:
            answer = await proxy.chat(**JSON)
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == "response_format"
            assert not proxy.upstream.bodies

    run(work())


@pytest.mark.parametrize(
    ("how", "shown"), [("hide", ""), ("pass", "Hm. So it is."), ("review", "HM. SO IT IS.")]
)
def test_reasoning_is_hidden_passed_or_reviewed(how, shown):
    def script(body, number):
        thoughts = [{"reasoning_content": part} for part in ("Hm. So", " it is.")]
        return [*thoughts, "Yes.", Finish(), DONE]

    async def work():
        async with proxied(script, lambda q, p, s: s.upper(), reasoning=how) as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "YES."
            thought = "".join(d.get("reasoning_content", "") for d in streamed.deltas)
            assert thought == shown
            message = (await proxy.chat()).json()["choices"][0]["message"]
            assert message.get("reasoning_content", "") == shown

    run(work())


def test_a_failed_review_of_reasoning_shows_the_static_text():
    def script(body, number):
        return [{"reasoning_content": "Hm. "}, "Yes.", Finish(), DONE]

    async def work():
        options = {"reasoning": "review", "on_failure": "static", "static_text": "Sorry."}
        async with proxied(script, lambda q, p, s: None, **options) as proxy:
            streamed = await proxy.stream()
            assert (streamed.text, streamed.finish_reason) == ("Sorry.", "content_filter")
            assert not any("reasoning_content" in delta for delta in streamed.deltas)

    run(work())


def test_modes_detect_off_aligner_and_rounds():
    def upper(question, prefix, sentence):
        return sentence.upper()

    async def work():
        async with proxied(saying(TEXT), upper, mode="detect") as proxy:
            streamed = await proxy.stream()
            assert (streamed.text, streamed.report["edits"]) == (TEXT, 3)
        async with proxied(saying(TEXT), upper, mode="off") as proxy:
            streamed = await proxy.stream()
            assert (streamed.text, streamed.report["corrector_calls"]) == (TEXT, 0)
            assert streamed.report["unreviewed"] == 3
        async with proxied(saying(TEXT), upper, mode="aligner") as proxy:
            streamed = await proxy.stream()
            assert (streamed.texts, streamed.report["corrector_calls"]) == ([TEXT.upper()], 1)
        async with proxied(saying(TEXT), upper, rounds=1) as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "THE DAY IS MILD.  It may rain later. Take a coat."
            assert streamed.report["rounds"] == 1

    run(work())


def test_completions_run_the_same_pipeline():
    async def work():
        async with proxied(
            lambda b, n: (
                ["One.", " Two.", Finish(), DONE] if n == 0 else [" Three.", Finish(), DONE]
            ),
            lambda q, p, s: "1." if s == "One." else s,
        ) as proxy:
            body = {"model": "m", "prompt": "Count: "}
            answer = (await proxy.client.post("/v1/completions", json=body)).json()
            assert answer["object"] == "text_completion"
            assert answer["choices"][0]["text"] == "1. Three."
            prompts = [sent["prompt"] for sent in proxy.upstream.bodies]
            assert prompts == ["Count: ", "Count: 1."]

    run(work())


def test_a_client_may_begin_the_answer():
    begun = [*QUESTION, {"role": "assistant", "content": "Well: "}]

    async def work():
        script = [["A b.", " C.", Finish(), DONE], [" D.", Finish(), DONE]]
        async with proxied(lambda b, n: script[n], lambda q, p, s: s.lower()) as proxy:
            streamed = await proxy.stream(messages=begun)
            assert streamed.text == "a b. d."
            assert proxy.upstream.bodies[1]["messages"][-1]["content"] == "Well: a b."
            parts = [{"type": "text", "text": "Well"}, {"type": "text", "text": ": "}]
            script.extend(script[:2])
            await proxy.stream(messages=[*QUESTION, {"role": "assistant", "content": parts}])
            assert proxy.upstream.bodies[2]["messages"][-1]["content"] == parts
            assert proxy.upstream.bodies[3]["messages"][-1]["content"] == "Well: a b."

    run(work())


ENDS_AT_ONCE = b'data: {"choices": [{"delta": {"content": "Un"}, "finish_reason": "length"}]}\n\n'


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["Un", "o. T", "wo.", Finish(), DONE], "Uno. Two."),
        (["Un", Finish("length"), DONE], "Uno.Un"),
        ([Raw(ENDS_AT_ONCE), DONE], "Uno.Un"),
        (["Un", DONE], "Uno.Un"),
    ],
)
def test_a_repeated_beginning_is_cut_and_what_only_looks_like_one_is_kept(pieces, shown):
    def script(body, number):
        return ["One.", " So.", Finish(), DONE] if number == 0 else pieces

    async def work():
        async with proxied(script, lambda q, p, s: s.replace("One", "Uno")) as proxy:
            proxy.app.state.desk.upstream._way = Continuation("assistant", echo=True)
            assert (await proxy.stream()).text == shown

    run(work())


def test_other_paths_methods_and_pages():
    async def work():
        async with proxied(saying(TEXT)) as proxy:
            answer = await proxy.client.post("/v1/embeddings", json={})
            assert answer.status_code == 404
            message = answer.json()["error"]["message"]
            assert all(path in message for path in ("/v1/chat/completions", "/v1/models"))
            assert (await proxy.client.get("/v1/chat/completions")).status_code == 405
            assert (await proxy.client.get("/healthz")).status_code == 200
            assert (await proxy.client.get("/v1/models")).json()["data"] == [{"id": "m"}]
            assert (await proxy.client.get("/readyz")).json() == {"ready": True, "reasons": []}
            assert (await proxy.client.get("/diff")).status_code == 200
            await proxy.stream()
            page = (await proxy.client.get("/metrics")).text
            for name in (
                'segments_total{verdict="copy"} 3.0',
                'requests_total{status="200"} 1.0',
                "first_segment_seconds_count 1.0",
                "segment_gap_seconds_count 2.0",
                "corrector_seconds_count 3.0",
                "added_seconds_count 3.0",
                "active 0.0",
            ):
                assert f"equipoise_stream_{name}" in page

    run(work())


def test_segments_are_audited_and_published(tmp_path):
    path = tmp_path / "audit.jsonl"

    async def work():
        async with proxied(saying(TEXT), first_edited, audit=path) as proxy:
            await proxy.stream()
            async with proxy.client.stream("GET", "/equipoise/events") as response:
                text = ""
                async for chunk in response.aiter_text():
                    text += chunk
                    if text.count("event: segment") == 3:
                        break
            assert "The day is warm." in text

    run(work())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    segments = [line for line in lines if "verdict" in line]
    assert [line["verdict"] for line in segments] == ["edit", "copy", "copy"]
    assert [line["round"] for line in segments] == [0, 1, 2]
    assert segments[0]["original"] == "The day is mild."
    assert segments[0]["question"] == "What is the weather?"
    assert segments[1]["prefix_chars"] == len("The day is warm.")
    assert lines[-1]["event"] == "finished"
    assert re.fullmatch(r"[0-9a-f]{24}", segments[0]["request_id"])


def test_penalties_that_begin_anew_are_said():
    async def work():
        async with proxied(saying(TEXT), first_edited) as proxy:
            streamed = await proxy.stream(presence_penalty=0.5)
            assert "penalties" in streamed.report["notes"][0]
            assert "notes" not in (await proxy.stream()).report

    run(work())


def test_a_span_is_written_for_each_segment(monkeypatch):
    """With a tracer that keeps what it is given; no text stands in it."""
    trace = pytest.importorskip("opentelemetry.trace")
    kept = []

    class Span:
        def __init__(self, name, start_time, attributes):
            self.start, self.attributes = start_time, attributes
            kept.append((name, self))

        def end(self, end_time):
            self.end_time = end_time

    class Tracer:
        start_span = staticmethod(Span)

    monkeypatch.setattr(trace, "get_tracer", lambda name: Tracer())

    async def work():
        async with proxied(saying(TEXT), first_edited) as proxy:
            await proxy.stream()

    run(work())
    assert [name for name, _ in kept] == ["equipoise.segment"] * 3
    assert [span.attributes["verdict"] for _, span in kept] == ["edit", "copy", "copy"]
    assert all(span.end_time >= span.start > 0 for _, span in kept)
    assert "mild" not in str([span.attributes for _, span in kept])


def test_raw_completions_of_the_servers_template():
    """prefill=completions: the restart goes to /completions, from the text of /apply-template."""
    from starlette.responses import JSONResponse

    class WithTemplate:
        def __init__(self, inner):
            self.inner = inner

        async def __call__(self, scope, receive, send):
            if scope["type"] == "http" and scope["path"] == "/apply-template":
                answer = JSONResponse({"prompt": "<user>What?<assistant>"})
                return await answer(scope, receive, send)
            return await self.inner(scope, receive, send)

    def script(body, number):
        return [["The day is mild.", " X", Finish(), DONE], [" It rains.", Finish(), DONE]][number]

    async def work():
        inner = ScriptedUpstream(script)
        async with running(WithTemplate(inner)) as address:
            config = ProxyConfig(
                upstream=f"{address}/v1", corrector="identity", prefill="completions"
            )
            app = make_app(config, first_edited)
            async with running(app) as url, httpx2.AsyncClient(trust_env=False) as client:
                body = {"model": "m", "messages": QUESTION, "max_completion_tokens": 50}
                answer = await client.post(f"{url}/v1/chat/completions", json=body)
        text = answer.json()["choices"][0]["message"]["content"]
        assert text == "The day is warm. It rains."
        assert inner.paths == ["/v1/chat/completions", "/v1/completions"]
        assert inner.bodies[1]["prompt"] == "<user>What?<assistant>The day is warm."
        assert inner.bodies[1]["max_tokens"] < 50
        assert "messages" not in inner.bodies[1]
        async with proxied(script, first_edited, prefill="completions") as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "The day is warm."
            assert "apply-template" in (streamed.error or {})["message"]

    run(work())


def test_it_works_without_a_lifespan_and_with_a_new_loop_for_each_request(tmp_path):
    """As applications mounted elsewhere and simple test clients use it."""
    from starlette.testclient import TestClient

    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"prompt": "q", "result": "1 + 1 = 3. Good."}) + "\n")
    app = create_app(ProxyConfig(upstream=f"replay:{path}", corrector="arithmetic"))
    client = TestClient(app)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "q"}]}
    for _ in range(3):
        answer = client.post("/v1/chat/completions", json=body).json()
        assert answer["choices"][0]["message"]["content"] == "1 + 1 = 2. Good."
    body["max_tokens"] = 3
    answer = client.post("/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    body["messages"][0]["content"] = "unknown"
    assert client.post("/v1/chat/completions", json=body).status_code == 404
    assert client.get("/v1/models").json()["data"][0]["id"] == "replay"
