"""contenders.toml: every kind and key, and one clear line for each mistake."""

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.systems.libra import load_contenders
from equipoise.systems.libra.contenders import BackendContender, ScriptedContender

GOOD = """
[[contender]]
name = "script"
kind = "scripted"
replies = ["yes {prompt}", "no"]
chunk_chars = 4
delay_ms = 1.5
fail_after_chunks = 3
aliases = ["Scripty"]
released = 2026-01-31
retired = true
weight = 2

[[contender]]
name = "plain"
kind = "embedded"

[[contender]]
name = "warm"
kind = "embedded"
model = "smollm2-135m"
system = "Be kind."
temperature = 0.9
top_p = 0.95
max_tokens = 64
seed = 7

[[contender]]
name = "remote"
kind = "openai"
base_url = "http://127.0.0.1:9/v1/"
model = "some-model"
api_key_env = "LIBRA_TEST_KEY"
extra_body = { top_k = 5 }
"""


@pytest.fixture
def load(tmp_path):
    def write(text: str):
        path = tmp_path / "contenders.toml"
        path.write_text(text, encoding="utf-8")
        return load_contenders(path)

    return write


def test_all_kinds_and_keys_are_read(load, monkeypatch):
    monkeypatch.setenv("LIBRA_TEST_KEY", "not-to-be-shown")
    script, plain, warm, remote = load(GOOD)
    assert isinstance(script, ScriptedContender)
    assert script.replies == ("yes {prompt}", "no")
    assert (script.chunk_chars, script.delay_ms, script.fail_after_chunks) == (4, 1.5, 3)
    listing = script.listing
    assert (listing.aliases, listing.released, listing.retired, listing.weight) == (
        ("Scripty",), "2026-01-31", True, 2.0,
    )  # fmt: skip
    assert isinstance(plain, BackendContender)
    assert isinstance(warm, BackendContender)
    assert plain.shared is warm.shared
    assert (plain.sampling.temperature, plain.sampling.seed) == (0.0, 0)
    assert warm.description() == {
        "kind": "embedded",
        "endpoint": "llamacpp",
        "model": "smollm2-135m",
        "system": "Be kind.",
        "temperature": 0.9,
        "top_p": 0.95,
        "max_tokens": 64,
        "seed": 7,
        "extra_body": {},
    }
    assert isinstance(remote, BackendContender)
    assert remote.shared.spec == "openai:http://127.0.0.1:9/v1/#some-model"
    assert remote.shared.options["api_key_env"] == "LIBRA_TEST_KEY"
    assert remote.description()["extra_body"] == {"top_k": 5}
    assert remote.sampling.seed is None
    assert "not-to-be-shown" not in repr(remote)


def table(kind: str, lines: str, name: str = "x") -> str:
    return f'[[contender]]\nname = "{name}"\nkind = "{kind}"\n{lines}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table("scriptd", ""), "unknown kind 'scriptd': did you mean 'scripted'"),
        ('[[contender]]\nname = "x"\n', "unknown kind 'None'"),
        (table("embedded", "temprature = 1"), "did you mean 'temperature'"),
        (table("scripted", 'replies = ["a"]\nsystem = "no"'), "unknown key of a scripted"),
        (table("scripted", ""), "needs `replies`"),
        (table("scripted", 'replies = "a"'), "must be a list of texts"),
        (table("embedded", "temperature = -1"), "`temperature` is -1; it must be a number >= 0"),
        (table("embedded", "top_p = 0"), "`top_p` is 0; it must be a number > 0 and <= 1"),
        (table("embedded", "max_tokens = 1.5"), "whole number >= 1"),
        (table("embedded", "seed = true"), "whole number >= 0"),
        (table("embedded", "weight = 0"), "`weight` is 0; it must be a number > 0"),
        (table("embedded", "weight = inf"), "`weight` is inf; it must be a finite number > 0"),
        (table("embedded", "weight = nan"), "`weight` is nan; it must be a number > 0"),
        (table("embedded", f"weight = 1{'0' * 400}"), "it must be a finite number > 0"),
        (table("embedded", "temperature = inf"), "`temperature` is inf; it must be a finite"),
        (table("scripted", 'replies = ["a"]\ndelay_ms = inf'), "`delay_ms` is inf"),
        (table("embedded", f"max_tokens = 1{'0' * 30}"), "it must be at most 9223372036854775807"),
        (table("embedded", f"seed = 1{'0' * 5000}"), "not valid TOML"),
        ('[[contender]]\nname = "x"\nkind = ["x"]\n', r"line 1: unknown kind \"\['x'\]\""),
        (table("openai", 'model = "m"\nbase_url = "http://[::1/v1"'), "it is no address: Invalid"),
        (table("openai", 'model = "m"\nbase_url = "http://h:99999/v1"'), "no address: Port out"),
        (table("openai", 'model = "m"\nbase_url = "http://h:abc/v1"'), "it is no address: Port"),
        (table("openai", 'model = "m"\nbase_url = "http://h"\nextra_body = {a = inf}'), "finite"),
        (table("openai", 'model = "m"\nbase_url = "http://h"\nextra_body = {a = 2026-01-01}'),
         "extra_body is .* it must hold texts"),
        (table("embedded", 'released = "soon"'), "must be a date"),
        (table("embedded", 'retired = "yes"'), "must be true or false"),
        (table("openai", 'model = "m"'), "`base_url` is missing"),
        (table("openai", 'model = "m"\nbase_url = "ftp://h"'), "http or https"),
        (table("openai", 'model = "m"\nbase_url = "http://u:p@h"'), "use api_key_env instead"),
        (table("openai", 'model = "m"\nbase_url = "http://h"\nextra_body = 1'), "must be a table"),
        ("[[contender]\n", "not valid TOML"),
        ("contender = 1\n", "written \\[\\[contender\\]\\]"),
        ("[[contestant]]\n", "did you mean 'contender'"),
        ("", "no contender was given"),
        (table("embedded", "") * 2, r"line [2-9]: two contenders are called 'x'"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_line_with_file_and_cure(load, text, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        load(text)
    assert "contenders.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_line_of_the_table_is_named(load):
    good = table("scripted", 'replies = ["a"]', name="one")
    with pytest.raises(InvalidInput, match="line 6: unknown key"):
        load(good + "\n" + table("embedded", "heat = 1", name="two"))


def test_a_missing_key_variable_is_named_and_no_secret_shown(load, monkeypatch):
    monkeypatch.delenv("LIBRA_TEST_KEY", raising=False)
    monkeypatch.setenv("LIBRA_OTHER_KEY", "sesame")
    with pytest.raises(InvalidInput, match="'LIBRA_TEST_KEY', which is not set") as caught:
        load(GOOD)
    assert "sesame" not in str(caught.value)


def test_a_missing_file_is_missing_data(tmp_path):
    with pytest.raises(MissingData, match="no contenders file at"):
        load_contenders(tmp_path / "none.toml")
