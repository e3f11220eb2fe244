"""Keys: digests, rates, several at once, a file that changes."""

import hashlib
import json

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.serving.keys import KeyRing, RateExceeded, bearer, digest_of, read_keys

DIGEST = hashlib.sha256(b"one").hexdigest()


def write(path, *entries):
    path.write_text(json.dumps(entries))
    return path


def test_a_ring_without_keys_asks_for_none():
    ring = KeyRing()
    assert not ring.asks
    grant = ring.find(None)
    assert grant is not None
    with grant.request(), grant.request():
        assert grant.open == 2


def test_known_unknown_and_missing_keys(tmp_path):
    path = write(tmp_path / "keys.json", {"name": "ann", "sha256": DIGEST.upper()})
    ring = KeyRing(path, "two")
    assert ring.asks
    found = [ring.find(key) for key in ("one", "two", "x", "", None)]
    assert [grant and grant.entry.name for grant in found] == ["ann", "default", None, None, None]
    assert ring.knows_digest(digest_of("one"))
    assert not ring.knows_digest(digest_of("x"))


def test_the_empty_key_is_never_known(tmp_path):
    path = write(tmp_path / "keys.json", {"name": "a", "sha256": digest_of("")})
    assert KeyRing(path).find("") is None


def test_rates_and_open_requests_are_limited(tmp_path):
    entry = {"name": "a", "sha256": DIGEST, "requests_per_minute": 2, "max_concurrent": 1}
    grant = KeyRing(write(tmp_path / "keys.json", entry)).find("one")
    assert grant is not None
    with grant.request():
        with pytest.raises(RateExceeded, match="1 requests open"), grant.request():
            raise AssertionError
        assert grant.open == 1
    with grant.request():
        assert grant.open == 1
    with pytest.raises(RateExceeded, match="2 requests a minute") as caught, grant.request():
        raise AssertionError
    assert 0 < caught.value.retry_after <= 30
    assert grant.open == 0


def test_reloading_keeps_the_counts_of_equal_entries_and_what_was_on_a_fault(tmp_path):
    path = write(tmp_path / "keys.json", {"name": "a", "sha256": DIGEST})
    ring = KeyRing(path)
    grant = ring.find("one")
    assert not ring.changed()
    other = {"name": "b", "sha256": digest_of("two")}
    write(path, {"name": "a", "sha256": DIGEST}, other)
    assert ring.changed()
    ring.reload()
    assert not ring.changed()
    assert ring.find("one") is grant
    assert ring.find("two") is not None
    path.write_text("{")
    with pytest.raises(InvalidInput, match="not JSON"):
        ring.reload()
    assert ring.find("two") is not None
    assert not ring.changed(), "a broken file is reported once"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"name": "a"}, "expected a list"),
        ([1], "entry 1: expected an object"),
        ([{"name": "a", "sha256": DIGEST}, {"name": "b", "sha": "x"}], "entry 2: .*'sha256'"),
        ([{"name": "", "sha256": DIGEST}], "'name' must be text"),
        ([{"name": "a", "sha256": "abc"}], "64 hexadecimal digits"),
        ([{"name": "a", "sha256": DIGEST, "requests_per_minute": 0}], "requests_per_minute"),
        ([{"name": "a", "sha256": DIGEST, "requests_per_minute": "9"}], "requests_per_minute"),
        ([{"name": "a", "sha256": DIGEST, "max_concurrent": 1.5}], "max_concurrent"),
        ([{"name": "a", "sha256": DIGEST, "upstream_key_env": 3}], "upstream_key_env"),
        ([{"name": "a", "sha256": DIGEST}] * 2, "twice"),
    ],
)
def test_bad_files_name_the_entry(tmp_path, entries, words):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(InvalidInput, match=words):
        read_keys(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.json: No such file"):
        KeyRing(tmp_path / "none.json")


def test_bearer_reads_the_header():
    assert bearer({"authorization": "bearer  abc "}) == "abc"
    assert bearer({"authorization": "Basic abc"}) is None
    assert bearer({"authorization": "Bearer "}) is None
    assert bearer({}) is None
