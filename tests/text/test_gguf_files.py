"""GGUF files: whole or broken, and their weights as plain floats."""

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize, quantize

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.text import check_gguf, write_f32_gguf
from equipoise.text.gguf_files import find_gguf

WEIGHTS = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A GGUF file with one tensor of 8-bit blocks, one of floats, and fields of several types."""
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.name", "Small")
    writer.add_file_type(7)
    writer.add_quantization_version(2)
    writer.add_uint32("llama.block_count", 3)
    writer.add_float32("llama.rope.freq_base", 1e5)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b\u00e9", "<|im_end|>"])
    writer.add_array("tokenizer.ggml.token_type", [1, 1, 3])
    packed = quantize(WEIGHTS, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("blocks", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("plain", WEIGHTS[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def fields(path: Path) -> dict[str, object]:
    reader = gguf.GGUFReader(path)
    return {
        name: field.contents()
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    }


def test_the_numbers_are_those_of_the_source(small, tmp_path):
    target = write_f32_gguf(small, tmp_path / "f32.gguf")
    assert target == tmp_path / "f32.gguf"
    before, after = gguf.GGUFReader(small).tensors, gguf.GGUFReader(target).tensors
    assert [t.name for t in after] == ["blocks", "plain"]
    for old, new in zip(before, after):
        assert new.tensor_type == gguf.GGMLQuantizationType.F32
        assert new.shape.tolist() == old.shape.tolist()
        np.testing.assert_array_equal(new.data, dequantize(old.data, old.tensor_type))
    assert np.abs(after[0].data - WEIGHTS).max() < 0.02


def test_fields_are_kept_but_for_the_quantisation(small, tmp_path):
    before, after = fields(small), fields(write_f32_gguf(small, tmp_path / "f32.gguf"))
    assert after.pop("general.file_type") == 0
    assert before.pop("general.file_type") == 7
    assert before.pop("general.quantization_version") == 2
    assert after == before
    assert after["tokenizer.ggml.tokens"] == ["a", "b\u00e9", "<|im_end|>"]


def test_only_the_target_is_left(small, tmp_path):
    write_f32_gguf(small, tmp_path / "f32.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f32.gguf", "small.gguf"]


def test_a_whole_file_passes_and_tells_floats(small, tmp_path):
    assert check_gguf(small) is False
    assert check_gguf(write_f32_gguf(small, tmp_path / "f32.gguf")) is True


@pytest.mark.parametrize("share", [0.02, 0.4, 0.8, 0.99])
def test_a_truncated_file_is_said_to_be_broken(small, tmp_path, share):
    data = small.read_bytes()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InvalidInput, match=r"is a broken GGUF file .* probably truncated"):
        check_gguf(broken)
    with pytest.raises(InvalidInput, match="is a broken GGUF file"):
        write_f32_gguf(broken, tmp_path / "f32.gguf")
    assert not (tmp_path / "f32.gguf").exists()


def test_another_file_is_said_to_be_none(tmp_path):
    path = tmp_path / "notes.gguf"
    for text in ("", "some notes"):
        path.write_text(text)
        with pytest.raises(InvalidInput, match="is no GGUF file"):
            check_gguf(path)


def test_a_folder_with_one_file_means_that_file(small, tmp_path):
    assert find_gguf(str(tmp_path)) == small
    (tmp_path / "other.gguf").write_bytes(small.read_bytes())
    with pytest.raises(InvalidInput, match="holds 2 GGUF files"):
        find_gguf(str(tmp_path))


def test_a_missing_file_is_missing_data(tmp_path):
    with pytest.raises(MissingData, match="there is no GGUF file"):
        find_gguf(str(tmp_path / "no.gguf"))
