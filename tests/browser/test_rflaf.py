"""The room rflaf in the studio: a table sent, its fit followed, the model taken away, refusals."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from equipoise.systems.rflaf import load_model

pytestmark = pytest.mark.standard

EVIL = "<script>document.title = 'taken'</script>"
PLOTS = ("activation", "predicted-vs-true", "coverage", "gcv-path")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table one column and one level of which are markup."""
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.uniform(-1, 1, (240, 2)), columns=["size", EVIL])
    made["kind"] = rng.choice(["x", "<b>y</b>"], 240)
    made["price"] = np.sin(2 * made["size"]) + (made.kind == "x") + 0.1 * rng.standard_normal(240)
    made.to_csv(tmp_path / "sales.csv", index=False)
    return tmp_path / "sales.csv"


def fit(studio: Any, page: Any, file: Path, **fields: str) -> str:
    """Send a table with these fields, wait for the end of its fit, return its status."""
    page.goto(studio.url + "rflaf/")
    page.set_input_files("#file", str(file))
    for name, value in fields.items():
        if name == "solver":
            page.select_option("#solver", value)
        else:
            page.fill(f"#{name}", value)
    page.get_by_role("button", name="Fit").click()
    page.wait_for_url("**/rflaf/runs/**")
    page.locator(".badge.done, .badge.failed").wait_for(timeout=120_000)
    return page.locator(".badge").inner_text()


def measured(page: Any) -> dict[str, float]:
    """Return the scores that the page shows."""
    rows = page.locator("tbody tr").all()
    cells = [row.locator("td").all_inner_texts() for row in rows]
    return {name: float(score) for name, score in cells}


def test_a_table_is_fitted_again_with_other_settings_and_taken_away(
    studio: Any, page: Any, table: Path, tmp_path: Path
):
    few = {"target": "price", "n_components": "20", "n_basis": "7"}
    assert fit(studio, page, table, **few) == "done"
    assert measured(page)["RFLAF"] > 0.5
    assert set(measured(page)) == {"RFLAF", "rbf_sampler", "nystroem", "relu", "trees"}
    assert page.locator("thead th").last.inner_text() == "R² on rows kept apart"
    for place, name in enumerate(PLOTS):
        picture = page.locator("figure img").nth(place)
        assert name in picture.get_attribute("src")
        picture.evaluate("image => image.decode()")  # fails where it cannot be drawn
    captions = page.locator("figcaption").all_inner_texts()
    assert "Predictions with 90 % intervals over the truth of test rows." in captions

    assert (
        fit(studio, page, table, **few | {"n_basis": "9", "rank": "2", "solver": "als"}) == "done"
    )
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the model").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path)
    model = load_model(tmp_path / page.url.rpartition("/")[2])
    assert model.activation_coef_.shape == (2, 9)
    assert (model.solver, model.n_components) == ("als", 20)
    page.get_by_role("link", name="Whole report").click()
    page.frame_locator("iframe").locator("h1").wait_for()
    assert page.title() != "taken"


@pytest.mark.parametrize("page", [360], indirect=True)
def test_fits_and_their_failures_fit_a_phone(studio: Any, page: Any, table: Path, tmp_path: Path):
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    for file, target, status, words in (
        (
            table,
            "prise",
            "failed",
            "unknown column 'prise': did you mean 'price'? Valid: size, <sc",
        ),
        (tmp_path / "picture.csv", "", "failed", "the file cannot be read: "),
        (table, "price", "done", "price, a regression."),
    ):
        assert fit(studio, page, file, target=target, n_components="8", n_basis="5") == status
        said = page.locator("main").inner_text()
        assert words in said
        assert "Traceback" not in said
        assert str(tmp_path) not in said
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.title() == "RFLAF fit · Equipoise"


def test_wrong_forms_say_so_and_keep_what_was_typed(studio: Any, browser: Any, tmp_path: Path):
    page = browser.new_page()  # a refusal is a complaint in the console
    page.goto(studio.url + "rflaf/")
    page.fill("#target", EVIL)
    page.fill("#rank", "two")
    page.select_option("#data", "digits")
    page.get_by_role("button", name="Fit").click()
    page.locator(".problem").wait_for()
    assert page.locator(".problem").inner_text() == "rank is 'two'; it must be a whole number"
    for name, value in (("#target", EVIL), ("#rank", "two"), ("#data", "digits")):
        assert page.input_value(name) == value
    page.goto(studio.url + "rflaf/")
    page.get_by_role("button", name="Fit").click()
    assert "send a file, or name a data set" in page.locator(".problem").inner_text()
    big = tmp_path / "big.csv"
    for extra, words in ((2**13, "larger than 20 MiB"), (2**20, "The request is too large")):
        page.goto(studio.url + "rflaf/")
        big.write_bytes(b"a,b\n" + b"1,2\n" * (5 * 2**20 + extra))
        page.set_input_files("#file", str(big))
        page.get_by_role("button", name="Fit").click()
        page.locator(f"text={words}").wait_for()
    page.close()
    assert not list((tmp_path / "runs").rglob("*.csv"))  # nothing was kept
