"""The verb `serve` as a process, its signals, and the configuration that changes while it runs."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx2
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import ProxyConfig
from equipoise.systems.stream_aligner.proxy import reloading as reloading_module
from equipoise.systems.stream_aligner.proxy.reloading import Reloader
from tests.systems.stream_aligner.scripted import DONE, QUESTION, Finish, Step, proxied


@pytest.fixture
def answers(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"question": "q", "answer": "So 1 + 1 = 3. It is done."}) + "\n")
    return path


@contextmanager
def serving(folder, *line):
    """Run `serve` in a process; yields it and its address."""
    command = [sys.executable, "-m", "equipoise", "stream-aligner", "serve", "--port", "0", *line]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stderr is not None
        for said in process.stderr:
            if said.startswith("ready "):
                break
        else:
            raise AssertionError("it never was ready")
        yield process, said.split()[1]
    finally:
        process.kill()
        process.communicate()


def ask(url, **fields):
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}], **fields}
    answer = httpx2.post(f"{url}/v1/chat/completions", json=body, trust_env=False, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


@pytest.mark.standard
def test_serve_says_where_it_is_reloads_on_sighup_and_ends_on_sigterm(answers, tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text('[{"find": "done", "replace": "over"}]')
    line = ["--upstream", f"replay:{answers}", "--corrector", f"rules:{rules}", "--json"]
    with serving(tmp_path, *line) as (process, url):
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told == {"url": url, "pid": process.pid}
        assert ask(url) == "So 1 + 1 = 3. It is over."
        rules.write_text('[{"find": "done", "replace": "finished"}]')
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while ask(url) != "So 1 + 1 = 3. It is finished.":
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
        assert process.returncode == 0
        assert out == ""
        assert "Traceback" not in err


@pytest.mark.standard
def test_sigterm_lets_an_open_answer_finish(tmp_path):
    """The upstream is stepped by this test; the answer is half told when the signal comes."""

    async def work():
        async with proxied(
            lambda b, n: ["One is here.", " Two is", Step(), " there.", Finish(), DONE]
        ) as inner:
            upstream = inner.app.state.desk.settings.config.upstream
            line = ["--upstream", upstream, "--corrector", "identity", "--prefill", "assistant"]
            with serving(tmp_path, *line) as (process, url):
                async with httpx2.AsyncClient(timeout=20, trust_env=False) as client:
                    body = {"model": "m", "messages": QUESTION, "stream": True}
                    async with client.stream(
                        "POST", f"{url}/v1/chat/completions", json=body
                    ) as answer:
                        text, told = "", False
                        async for chunk in answer.aiter_text():
                            text += chunk
                            if "One is here." in text and not told:
                                told = True
                                process.send_signal(signal.SIGTERM)
                                await asyncio.sleep(0.3)
                                inner.upstream.steps.release()
                assert " Two is there." in text
                assert text.rstrip().endswith("data: [DONE]")
                assert await asyncio.to_thread(process.wait, 10) == 0

    asyncio.run(work())


@pytest.mark.standard
def test_wrong_lines_exit_with_one_clear_line(answers, tmp_path):
    good = ["--upstream", f"replay:{answers}", "--corrector", "identity"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for line, code, words in (
            ([*good[:2], "--corrector", "identiti"], 2, "identity"),
            (["--upstream", "locl:x", *good[2:]], 2, "local:MODEL"),
            ([*good, "--mode", "streem"], 2, "stream"),
            ([*good, "--port", port], 1, "in use"),
            ([*good, "--audit", str(answers / "x.jsonl")], 1, "cannot be written"),
            (["--corrector", "identity"], 2, "upstream is not given"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "equipoise", "stream-aligner", "serve", *line],
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == code, (line, done.stderr)
            last = done.stderr.strip().splitlines()[-1]
            assert words in last
            assert "Traceback" not in done.stderr


def test_serve_has_every_field_as_an_option():
    import dataclasses
    import inspect

    from equipoise.systems.stream_aligner.proxy.commands import serve

    options = inspect.signature(serve).parameters
    for field in dataclasses.fields(ProxyConfig):
        assert options[field.name].default == field.default, field.name
    assert set(options) - {f.name for f in dataclasses.fields(ProxyConfig)} == {"no_speculate"}


def test_a_changed_file_changes_policy_and_corrector_and_no_open_stream(tmp_path):
    path = tmp_path / "proxy.toml"
    rules = tmp_path / "rules.json"
    rules.write_text('[{"find": "here", "replace": "HERE"}]')
    path.write_text(f'corrector = "rules:{rules}"\non-failure = "open"\n')

    def script(body, number):
        pieces = ["One is here. Two", Step(), " is here."] if number == 0 else ["One is here."]
        return [*pieces, Finish(), DONE]

    async def work():
        async with proxied(script, config=path, prefill="none") as proxy:
            desk = proxy.app.state.desk
            assert desk.settings.config.on_failure == "open"
            events = proxy.events()
            await anext(events)
            assert (await anext(events))["choices"][0]["delta"]["content"] == "One is HERE."
            rules.write_text('[{"find": "here", "replace": "there"}]')
            path.write_text(f'corrector = "rules:{rules}"\non_failure = "static"\nport = 1\n')
            assert (await proxy.stream()).text == "One is there."
            assert desk.settings.config.on_failure == "static"
            assert desk.settings.config.port != 1, "that needs a new start"
            path.write_text("on_failure = ")  # broken: what was stays
            assert (await proxy.stream()).text == "One is there."
            proxy.upstream.steps.release()
            rest = [event async for event in events]
            assert rest[0]["choices"][0]["delta"]["content"] == " Two is HERE.", "as it began"
            assert rest[-1] == "[DONE]"

    asyncio.run(work())


def test_a_replaced_corrector_is_closed_with_its_last_answer(tmp_path, monkeypatch):
    from equipoise.systems.stream_aligner.proxy import reloading

    class Model:
        closed = 0

        def __call__(self, question, prefix, sentence):
            return sentence

        def close(self):
            self.closed += 1

    made = []

    def make(spec):
        made.append(Model())
        return made[-1]

    monkeypatch.setattr(reloading, "make_corrector", make)
    reloader = Reloader(ProxyConfig(upstream="http://127.0.0.1:9/v1", corrector="identity"))
    user = reloader.settings.reviewer.acquire()
    reloader.reload(all_of_it=True)
    assert len(made) == 2
    assert made[0].closed == 0, "an answer still uses it"
    user.release()
    assert (made[0].closed, made[1].closed) == (1, 0)


def test_a_configuration_file_names_what_is_wrong(tmp_path):
    path = tmp_path / "proxy.toml"
    given = ProxyConfig(upstream="http://127.0.0.1:9/v1", corrector="identity", config=path)
    for text, words in (
        ("on_failur = 'open'", "did you mean 'on_failure'"),
        ("max_chars = 'many'", "max_chars"),
        ("= 3", "not TOML"),
        ("config = 'x'", "cannot name another"),
        ("mode = 'strem'", "did you mean 'stream'"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidInput, match=words):
            given.resolved()
    path.unlink()
    with pytest.raises(InvalidInput, match="No such file"):
        given.resolved()


def test_importing_the_names_and_the_proxy_loads_no_torch():
    code = (
        "import sys\n"
        "from equipoise.systems.stream_aligner import ProxyConfig, create_app\n"
        "heavy = {'torch', 'transformers'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.standard
@pytest.mark.parametrize("upstream", ["local:smollm2-135m"])
def test_a_real_model_behind_the_proxy(upstream, smollm2, tmp_path):
    """Identity changes nothing; an edit of the first sentence is continued from."""
    rules = tmp_path / "rules.json"
    rules.write_text("[]")
    line = ["--upstream", upstream, "--corrector", f"rules:{rules}"]
    fields = {"temperature": 0, "max_tokens": 60}
    with serving(tmp_path, *line) as (process, url):
        body = {"messages": [{"role": "user", "content": "Name three fruits."}], "model": "m"}

        def post():
            address = f"{url}/v1/chat/completions"
            sent = {**body, **fields}
            return httpx2.post(address, json=sent, trust_env=False, timeout=120).json()

        plain = post()
        text = plain["choices"][0]["message"]["content"]
        assert plain["equipoise"]["edits"] == 0
        assert plain["equipoise"]["upstream_requests"] == 1
        assert plain["usage"]["completion_tokens"] <= 60
        first = text.split()[0]
        rules.write_text(json.dumps([{"find": f"^{first}", "replace": f"Well, {first}"}]))
        edited = post()
        assert edited["choices"][0]["message"]["content"].startswith(f"Well, {first}")
        assert edited["equipoise"]["edits"] >= 1
        assert edited["equipoise"]["induction"] is True
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
        assert process.returncode == 0


def test_no_file_of_keys_stops_the_looking_after_it(tmp_path, capsys):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "a", "sha256": "0" * 64}]))
    config = ProxyConfig(upstream="http://127.0.0.1:9/v1", corrector="identity", keys=keys)
    reloader = Reloader(config)
    for broken, said in (("{", "not JSON"), ("[" * 100_000, "RecursionError")):
        keys.write_text(broken)
        reloader.reload_keys()
        assert said in capsys.readouterr().err
        assert reloader.keys.knows_digest("0" * 64)
        assert not reloader.keys.changed()


def test_what_a_library_says_of_a_half_written_corrector_keeps_the_one_before(
    tmp_path, monkeypatch, capsys
):
    rules = tmp_path / "rules.json"
    rules.write_text("[]")
    reloader = Reloader(ProxyConfig(upstream="http://127.0.0.1:9/v1", corrector=f"rules:{rules}"))
    before = reloader.settings

    def half_written(spec):
        raise RuntimeError("header too small")

    monkeypatch.setattr(reloading_module, "make_corrector", half_written)
    reloader.reload(all_of_it=True)
    assert reloader.settings is before
    said = capsys.readouterr().err
    assert "not reloaded, the settings before stay: RuntimeError: header too small" in said
    monkeypatch.undo()
    reloader.reload(all_of_it=True)
    assert reloader.settings is not before
