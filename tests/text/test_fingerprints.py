"""What tells weights apart."""

from equipoise.core import store
from equipoise.text.fingerprints import model_identity


def test_a_stored_model_is_its_checksum():
    assert model_identity("smollm2-135m", []) == store.find("smollm2-135m").sha256


def test_content_counts_and_places_do_not(tmp_path):
    for folder, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.bin").write_text(text)
        (tmp_path / folder / "config.json").write_text("{}")
    one, same, other = (
        model_identity(str(tmp_path / name), (tmp_path / name).iterdir()) for name in "abc"
    )
    assert one == same != other


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "model.bin"
    path.write_text("one")
    before = model_identity("x", [path])
    path.write_text("three")
    assert model_identity("x", [path]) != before
