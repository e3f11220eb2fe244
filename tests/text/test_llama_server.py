"""llama.cpp's server on loopback: options, faults, keys, and that it ends."""

from importlib import import_module
from types import SimpleNamespace
from unittest.mock import Mock

import httpx2
import pytest

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.text import chat, llama_server, load_backend


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parallel": 0}, "parallel is 0"),
        ({"parallel": True}, "parallel is True"),
        ({"n_ctx": 8}, "n_ctx is 8"),
        ({"n_ctx": "many"}, "n_ctx is 'many'"),
        ({"threads": 0}, "threads is 0"),
        ({"api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY holds no key"),
    ],
)
def test_bad_options_are_named(gguf, monkeypatch, options, words):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(InvalidInput, match=words), llama_server(gguf, **options):
        pass


llama_server_module = import_module("equipoise.text.llama_server")  # the package has a function


@pytest.mark.parametrize(
    ("device", "layers", "main"),
    [("auto", None, None), ("cpu", 0, None), ("cuda:1", -1, 1), ("mps", -1, 0)],
)
def test_layers_go_to_the_device_that_the_build_has(device, layers, main, monkeypatch):
    devices = [{"name": name} for name in ("CPU", "CUDA0", "CUDA1", "Metal")]
    monkeypatch.setattr(
        llama_server_module, "_llama", lambda: Mock(get_device_info=lambda: devices)
    )
    parameters = SimpleNamespace(n_gpu_layers=None, main_gpu=None)
    llama_server_module._place(parameters, device)
    assert (parameters.n_gpu_layers, parameters.main_gpu) == (layers, main)
    with pytest.raises(InvalidInput, match="device 'cuda:2' is not on this machine"):
        llama_server_module._place(parameters, "cuda:2")


def test_a_truncated_model_is_refused_before_it_is_loaded(gguf, tmp_path):
    broken = tmp_path / "broken.gguf"
    with gguf.open("rb") as whole:
        broken.write_bytes(whole.read(10_000_000))
    with pytest.raises(InvalidInput, match="is a broken GGUF file"):
        load_backend(f"llamacpp:{broken}")


def test_a_missing_model_is_missing_data():
    with pytest.raises(MissingData), llama_server("/no/such.gguf"):
        pass


def get(url: str, **headers: str) -> httpx2.Response:
    with httpx2.Client(trust_env=False) as client:
        return client.get(url, headers=headers)


@pytest.mark.standard
def test_it_serves_under_its_alias_and_ends_with_the_block(gguf):
    with llama_server(gguf, threads=1, alias="tiny", n_ctx=512, parallel=2) as server:
        assert server.url.startswith("http://127.0.0.1:")
        models = get(f"{server.url}/v1/models").json()["data"]
        assert [model["id"] for model in models] == ["tiny"] == [server.model]
        assert get(f"{server.url}/props").json()["total_slots"] == 2
    with pytest.raises(httpx2.ConnectError):
        get(f"{server.url}/v1/models")


@pytest.mark.standard
def test_a_name_serves_as_alias_and_a_key_guards(gguf, monkeypatch):
    monkeypatch.setenv("TEST_LLAMA_KEY", "open-sesame")
    with llama_server("smollm2-135m", threads=1, n_ctx=512, api_key_env="TEST_LLAMA_KEY") as server:
        assert server.model == "smollm2-135m"
        spec = f"openai:{server.url}/v1#{server.model}"
        with load_backend(spec, api_key_env="TEST_LLAMA_KEY") as backend:
            assert backend.generate(chat("Hi"), max_tokens=2).completion_tokens == 2
            assert backend.count_tokens("one two") == 2
        with (
            load_backend(spec, api_key_env=None) as backend,
            pytest.raises(RunFailed, match="answered 401") as caught,
        ):
            backend.generate(chat("Hi"))
        assert "sesame" not in str(caught.value)
