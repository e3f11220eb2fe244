"""Finding models by name and path: folders, adapters, run folders, and what is wrong with them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.text import TransformersBackend, chat, load_causal_model
from equipoise.text.local_models import find_device, find_model


@pytest.fixture
def run_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    for name in ("step-3", "step-20"):
        shutil.copytree(tiny_folder, run / "checkpoints" / name)
    (run / "run.json").write_text("{}")
    (run / "config.json").write_text("{}")  # the run's configuration, not a model's
    return run


def test_a_model_folder_is_itself(tiny_folder):
    source = find_model(str(tiny_folder))
    assert (source.base, source.local, source.adapters) == (str(tiny_folder), True, ())
    assert {"config.json", "model.safetensors"} <= {path.name for path in source.files}


def test_of_checkpoints_the_last_in_natural_order_is_taken(run_folder):
    assert find_model(str(run_folder)).base.endswith("step-20")


def test_a_checkpoint_called_final_or_last_goes_first(run_folder, tiny_folder):
    shutil.copytree(tiny_folder, run_folder / "checkpoints" / "last")
    assert find_model(str(run_folder)).base.endswith("last")
    shutil.copytree(tiny_folder, run_folder / "checkpoints" / "final")
    assert find_model(str(run_folder)).base.endswith("final")


def test_checkpoints_without_a_language_model_are_passed_over(run_folder):
    other = run_folder / "checkpoints" / "final"
    other.mkdir()
    (other / "meta.json").write_text("{}")
    assert find_model(str(run_folder)).base.endswith("step-20")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"holds no model: neither config.json"):
        find_model(str(tmp_path))


def adapter_config(folder: Path, base: object) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return folder


def test_an_adapter_is_put_on_the_base_it_names(tiny_folder, tmp_path):
    first = adapter_config(tmp_path / "first", str(tiny_folder))
    source = find_model(str(first))
    assert source.base == str(tiny_folder)
    assert source.adapters == (first,)
    second = adapter_config(tmp_path / "second", "../first")
    assert [path.name for path in find_model(str(second)).adapters] == ["first", "second"]


def test_a_stored_base_is_found_wherever_it_was_unpacked(gguf, tmp_path):
    base = "/another/machine/cache/derived/smollm2-135m/dense"
    source = find_model(str(adapter_config(tmp_path / "adapter", base)))
    assert source.base == find_model("smollm2-135m").base


@pytest.mark.parametrize("base", [None, "", 3])
def test_an_adapter_without_a_base_is_refused(tmp_path, base):
    with pytest.raises(InvalidInput, match="names no base_model_name_or_path"):
        find_model(str(adapter_config(tmp_path / "adapter", base)))


def test_a_missing_base_is_named(tmp_path):
    with pytest.raises(MissingData, match=r"the base of the adapter .* is missing: there is no"):
        find_model(str(adapter_config(tmp_path / "adapter", "/no/such/base")))


def test_a_broken_model_folder_is_said_in_one_line(tiny_folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_folder, broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(InvalidInput, match="cannot load the model in ") as caught:
        load_causal_model(str(broken))
    assert "\n" not in str(caught.value)


def test_dtype_and_device_are_checked(tiny_folder):
    with pytest.raises(InvalidInput, match="did you mean 'bfloat16'"):
        load_causal_model(str(tiny_folder), dtype="bfloat")
    with pytest.raises(InvalidInput, match="did you mean 'cpu'"):
        find_device("cpuu")
    with pytest.raises(InvalidInput, match="unknown device 'cuda:x'"):
        find_device("cuda:x")
    assert find_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(InvalidInput, match="device 'cuda' is not on this machine"):
            find_device("cuda")


def test_weights_come_in_the_dtype_asked_for(tiny_folder):
    model, _ = load_causal_model(str(tiny_folder), dtype="bfloat16", device="cpu")
    assert model.dtype == torch.bfloat16
    assert not model.training


def test_a_base_model_without_a_template_is_refused(tiny_folder, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(tiny_folder, bare)
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    with (
        TransformersBackend(str(bare), device="cpu") as backend,
        pytest.raises(InvalidInput, match="has no chat template"),
    ):
        backend.generate(chat("x"))


@pytest.mark.standard
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_a_trained_adapter_saves_loads_and_answers(tiny_folder, tmp_path):
    """The whole way of a LoRA run: train a step, save under a run folder, load that folder."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base, tokenizer = load_causal_model(str(tiny_folder), device="cpu")
    before = TransformersBackend(str(tiny_folder), device="cpu")
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    assert model.peft_config["default"].base_model_name_or_path == str(tiny_folder)
    ids = torch.tensor([tokenizer("abcabcabc").input_ids])
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(4):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path / "run" / "checkpoints" / "final")
    with TransformersBackend(str(tmp_path / "run"), device="cpu") as backend:
        with torch.inference_mode():
            logits = backend.model(ids).logits
            torch.testing.assert_close(logits, model.eval()(ids).logits)
        trained, plain = backend.score(chat("x"), "abc"), before.score(chat("x"), "abc")
        assert trained.total != plain.total
        assert backend.generate_batch([chat("x"), chat("longer")], max_tokens=4) == [
            backend.generate(chat(text), max_tokens=4) for text in ("x", "longer")
        ]
    again, _ = load_causal_model(str(tmp_path / "run"), device="cpu", trainable_adapter=True)
    assert any(weight.requires_grad for weight in again.parameters())
