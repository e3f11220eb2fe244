"""The cache: keys by content, entries that outlive the process, files that are not ours."""

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.libra.cache import Cache, claimed, reply_key, verdict_key

MESSAGES = [{"role": "user", "content": "What is 2 + 2?"}]
DESCRIPTION = {"kind": "embedded", "model": "m", "temperature": 0.0, "seed": 0}


def test_reply_key_is_the_sha256_of_canonical_json():
    key = reply_key({"b": 1, "a": "é"}, [{"role": "user", "content": "q"}], 0)
    import hashlib

    text = '{"contender":{"a":"é","b":1},"messages":[{"content":"q","role":"user"}],"sample":0}'
    assert key == hashlib.sha256(text.encode()).hexdigest()


def test_temperature_seed_sample_and_messages_part_keys():
    base = reply_key(DESCRIPTION, MESSAGES, 0)
    assert reply_key(DESCRIPTION | {"temperature": 0.9}, MESSAGES, 0) != base
    assert reply_key(DESCRIPTION | {"seed": 1}, MESSAGES, 0) != base
    assert reply_key(DESCRIPTION, MESSAGES, 1) != base
    assert reply_key(DESCRIPTION, [*MESSAGES, {"role": "assistant", "content": "4"}], 0) != base
    assert reply_key(dict(reversed(DESCRIPTION.items())), MESSAGES, 0) == base


def test_verdict_key_depends_on_each_of_its_parts():
    scorer = {"name": "number", "version": "1", "options": {}}
    base = verdict_key("r", "said", "t", "i", scorer)
    others = [
        verdict_key("r2", "said", "t", "i", scorer),
        verdict_key("r", "said otherwise", "t", "i", scorer),
        verdict_key("r", "said", "t2", "i", scorer),
        verdict_key("r", "said", "t", "i2", scorer),
        verdict_key("r", "said", "t", "i", scorer | {"version": "2"}),
        verdict_key("r", "said", "t", "i", scorer | {"options": {"x": 1}}),
        verdict_key("r", "said", "t", "i", scorer | {"resources": {"judge": "j"}}),
    ]
    assert len({base, *others}) == 8


@given(st.text(), st.text())
def test_any_text_has_a_key_and_different_texts_differ(first, second):
    keys = [reply_key({}, [{"role": "user", "content": text}], 0) for text in (first, second)]
    assert (keys[0] == keys[1]) == (first == second)


def test_entries_come_back_and_kinds_are_apart(tmp_path):
    with Cache(tmp_path / "new" / "cache.db") as cache:
        assert cache.reply("k") is None
        cache.put_reply("k", {"text": "4\n\u2028é", "finish_reason": "stop"})
        cache.put_verdict("k", {"value": 1.0})
        assert cache.count() == {"replies": 1, "verdicts": 1}
    with Cache(tmp_path / "new" / "cache.db") as cache:
        assert cache.reply("k") == {"text": "4\n\u2028é", "finish_reason": "stop"}
        assert cache.verdict("k") == {"value": 1.0}
        kept = cache.put_reply("k", {"text": "five"})
        assert kept == cache.reply("k") == {"text": "4\n\u2028é", "finish_reason": "stop"}
        assert cache.count()["replies"] == 1


def test_a_put_survives_kill_9_right_after_it(tmp_path):
    path = tmp_path / "cache.db"
    code = (
        "import os, signal, sys\n"
        "from equipoise.systems.libra.cache import Cache\n"
        "cache = Cache(sys.argv[1])\n"
        "for k in range(50): cache.put_reply(str(k), {'text': str(k)})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    with Cache(path) as cache:
        assert cache.count()["replies"] == 50
        assert cache.reply("49") == {"text": "49"}


def test_two_processes_may_use_one_file(tmp_path):
    with Cache(tmp_path / "cache.db") as first, Cache(tmp_path / "cache.db") as second:
        first.put_reply("a", {"text": "1"})
        second.put_reply("b", {"text": "2"})
        assert first.reply("b") == {"text": "2"}
        assert second.reply("a") == {"text": "1"}


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "cache.db"
    path.write_text("these are my notes, forty characters or so, not a database at all")
    with pytest.raises(InvalidInput, match="is no cache of this package"):
        Cache(path)
    assert path.read_text().startswith("these are my notes")


@pytest.mark.parametrize(
    ("table", "value"),
    [
        ("replies", "{"), ("replies", "[]"), ("replies", "3"), ("replies", '{"text": 3}'),
        ("replies", b"\xff"), ("verdicts", '{"label": "x"}'), ("verdicts", '{"value": "x"}'),
        ("verdicts", '{"value": 7}'), ("verdicts", '{"value": 1, "label": 3}'),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_read_counts_as_absent_and_is_written_anew(tmp_path, table, value):
    path = tmp_path / "cache.db"
    with Cache(path) as cache:
        cache._db.execute(f"INSERT INTO {table} VALUES ('k', ?)", (value,))
        read, put = {"replies": (cache.reply, cache.put_reply),
                     "verdicts": (cache.verdict, cache.put_verdict)}[table]  # fmt: skip
        assert read("k") is None
        good = {"text": "4"} if table == "replies" else {"value": 1.0, "label": "correct"}
        assert put("k", good) == good
        assert read("k") == good


def test_a_damaged_file_is_one_clear_line(tmp_path):
    path = tmp_path / "cache.db"
    with Cache(path) as cache:
        for number in range(500):
            cache.put_reply(str(number), {"text": "x" * 200})
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xaa" * (len(content) - 4096)
    path.write_bytes(content)
    with (
        pytest.raises(InvalidInput, match=r"or damaged .* move it away") as caught,
        Cache(path) as c,
    ):
        c.reply("7")
    assert "\n" not in str(caught.value)


def test_another_programs_tables_are_refused(tmp_path):
    path = tmp_path / "cache.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE replies (id INTEGER)")
    db.close()
    with pytest.raises(InvalidInput, match="is no cache of this package"), Cache(path) as cache:
        cache.reply("k")


def test_a_file_that_is_locked_is_waited_for_and_never_called_foreign(tmp_path):
    path = tmp_path / "cache.db"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RunFailed, match=r"cannot be used .*locked.*run the same line again"):
        Cache(path, patience=0.1)
    release = threading.Timer(0.2, holder.rollback)
    release.start()
    with Cache(path) as cache:
        assert cache.count() == {"replies": 0, "verdicts": 0}
    release.join()
    holder.close()


def test_many_may_open_a_new_file_at_once(tmp_path):
    def opened(number):
        with Cache(tmp_path / "cache.db") as cache:
            return cache.put_reply("k", {"text": str(number)})["text"]

    with ThreadPoolExecutor(12) as pool:
        told = set(pool.map(opened, range(48)))
    assert len(told) == 1


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(InvalidInput, match="out cannot be made a folder"):
        Cache(tmp_path / "out" / "cache.db")


def test_a_claim_is_waited_for(tmp_path, capsys):
    order = []

    def second():
        with claimed(tmp_path / "cache.db"):
            order.append("second")

    with claimed(tmp_path / "cache.db"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "waiting until that is done" in capsys.readouterr().err


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "cache.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(InvalidInput, match="newer version"):
        Cache(path)
