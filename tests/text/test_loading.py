"""From a specification string to a back end."""

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.text import OpenAIBackend, load_backend, load_encoder


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("llamacp:smollm2-135m", "did you mean 'llamacpp:...'"),
        ("transformer:x", "did you mean 'transformers:...'"),
        ("smollm2-135m", "unknown back end"),
        ("llamacpp:", "names no model"),
        ("llamacpp:smolm2-135m", "did you mean 'smollm2-135m'"),
        ("transformers:smollm2-135", "did you mean 'smollm2-135m'"),
        ("openai:http://127.0.0.1:1/v1", "must name URL and model"),
        ("openai:http://127.0.0.1:1/v1#", "must name URL and model"),
        ("openai:here#m", "is no URL of a server"),
    ],
)
def test_a_wrong_specification_names_the_nearest(spec, words):
    with pytest.raises(InvalidInput) as caught:
        load_backend(spec)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["llamacpp", "transformers"])
@pytest.mark.parametrize("path", ["./nowhere", "/no/such/folder", "nowhere.gguf"])
def test_a_path_that_is_not_there_is_missing_data(scheme, path):
    with pytest.raises(MissingData, match="there is no"):
        load_backend(f"{scheme}:{path}")


def test_an_unknown_hub_name_is_missing_data_without_a_network():
    with pytest.raises(MissingData, match="nor in the local hub cache"):
        load_backend("transformers:some-people/some-model")


def test_a_model_that_was_not_pulled_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    for load in (
        lambda: load_backend("llamacpp:smollm2-135m"),
        lambda: load_backend("transformers:smollm2-135m"),
    ):
        with pytest.raises(MissingData, match="equipoise models pull smollm2-135m"):
            load()
    with pytest.raises(MissingData, match="equipoise models pull all-minilm-l6-v2"):
        load_encoder("all-minilm-l6-v2")


@pytest.mark.parametrize("scheme", ["llamacpp", "transformers"])
@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "unknown device 'gpu': did you mean 'cpu'"),
        ("cuda:9", "device 'cuda:9' is not on this machine; usable: auto, cpu"),
    ],
)
def test_a_device_that_is_not_here_is_said(scheme, device, words, gguf):
    with pytest.raises(InvalidInput, match=words):
        load_backend(f"{scheme}:{gguf}", device=device)


def test_options_are_checked_and_passed():
    with pytest.raises(InvalidInput, match="did you mean 'timeout'"):
        load_backend("openai:http://127.0.0.1:1/v1#m", timeut=3)
    with pytest.raises(InvalidInput, match="did you mean 'n_ctx'"):
        load_backend("llamacpp:smollm2-135m", nctx=3)
    with load_backend("openai:http://127.0.0.1:1/v1/#m#x", timeout=3) as backend:
        assert isinstance(backend, OpenAIBackend)
        assert backend.describe()["url"] == "http://127.0.0.1:1/v1"
        assert backend.describe()["model"] == "m#x"
