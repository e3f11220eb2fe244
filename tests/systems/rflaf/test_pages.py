"""The room in the studio: a table uploaded, its fit followed, rows predicted, wrong requests."""

import io
import time
import zipfile

import numpy as np
import pandas as pd
import pytest

from equipoise.systems.rflaf import jobs as jobs_module
from equipoise.systems.rflaf import load_model
from equipoise.systems.rflaf.jobs import Busy, Jobs

testclient = pytest.importorskip("starlette.testclient")
EVIL = "<script>alert(1)</script>"


def sales(n: int = 160) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((n, 2)), columns=["a", "b"])
    table["kind"] = rng.choice(["x", EVIL], n)
    table["price"] = table.a + (table.kind == "x")
    return table


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("studio") / "runs"


@pytest.fixture(scope="module")
def studio(root):
    from equipoise.web import create_app

    return testclient.TestClient(create_app(root), follow_redirects=False)


def upload(studio, path="/rflaf/v1/fit", table=None, name="sales.csv", **fields):
    body = (sales() if table is None else table).to_csv(index=False).encode()
    fields = {"n_components": "12", "n_basis": "5"} | fields
    return studio.post(path, files={"file": (name, body)}, data=fields)


def wait(studio, run: str) -> dict:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = studio.get(f"/rflaf/v1/runs/{run}").json()
        if state["status"] not in ("waiting", "running"):
            return state
        time.sleep(0.1)
    raise AssertionError("the fit did not end in time")


@pytest.fixture(scope="module")
def done(studio):
    answer = upload(studio, target="price")
    assert answer.status_code == 202
    state = wait(studio, answer.json()["run"])
    assert state["status"] == "done", state
    return state


@pytest.mark.standard
def test_an_uploaded_table_is_fitted(done, root):
    assert (done["target"], done["task"]) == ("price", "regression")
    assert done["columns"] == ["a", "b", "kind"]
    assert {"RFLAF", "rbf_sampler", "trees"} <= set(done["results"]["measured"])
    assert (root / "rflaf" / done["run"] / "report.html").is_file()


@pytest.mark.standard
def test_rows_are_predicted_with_intervals(done, studio):
    rows = [{"a": 0.0, "b": 0.0, "kind": "x"}, {"a": 1.0, "b": 0.0, "kind": EVIL}]
    found = studio.post(f"/rflaf/v1/runs/{done['run']}/predict", json={"rows": rows}).json()
    assert set(found) == {"prediction", "low", "high"}
    assert all(a < b < c for a, b, c in zip(*(found[k] for k in ("low", "prediction", "high"))))
    assert found["prediction"] == pytest.approx([1.0, 1.0], abs=0.7)


@pytest.mark.standard
def test_the_model_can_be_taken_away(done, studio, tmp_path):
    answer = studio.get(f"/rflaf/runs/{done['run']}/model.zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    assert load_model(tmp_path / done["run"]).n_components == 12


@pytest.mark.standard
def test_the_page_of_a_fit_shows_it_and_escapes_the_table(done, studio):
    page = studio.get(f"/rflaf/runs/{done['run']}").text
    assert "hx-trigger" not in page
    assert f"/rflaf/runs/{done['run']}/activation.svg" in page
    assert EVIL not in page
    plot = studio.get(f"/rflaf/runs/{done['run']}/activation.svg")
    assert plot.headers["content-type"].startswith("image/svg+xml")
    assert studio.get(f"/rflaf/runs/{done['run']}/secret.svg").status_code == 404


@pytest.mark.standard
def test_the_form_leads_to_a_page_that_follows_the_fit(studio):
    answer = studio.post("/rflaf/fit", data={"data": "diabetes", "n_components": "8"})
    assert answer.status_code == 303
    place = answer.headers["location"]
    page = studio.get(place).text
    assert 'hx-trigger="every 1s"' in page or ">done<" in page
    assert wait(studio, place.rpartition("/")[2])["status"] == "done"


@pytest.mark.standard
def test_a_fit_that_fails_says_why(studio):
    state = wait(studio, upload(studio, target="prise").json()["run"])
    assert state["status"] == "failed"
    assert state["reason"].startswith("unknown column 'prise': did you mean 'price'")
    page = studio.get(f"/rflaf/runs/{state['run']}").text
    assert "did you mean" in page


def test_the_start_page_offers_a_form(studio):
    page = studio.get("/rflaf/").text
    assert 'enctype="multipart/form-data"' in page
    assert "<option>friedman1</option>" in page
    assert 'href="/rflaf/"' in studio.get("/").text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": "nosuch"}, "name a data set: diabetes"),
        ({}, "send a file"),
        ({"data": "diabetes", "rank": "two"}, "rank is 'two'; it must be a whole number"),
        ({"data": "diabetes", "n_basis": "-3"}, "n_basis is '-3'"),
        ({"data": "diabetes", "n_components": "9" * 40}, "n_components is"),
    ],
)
def test_wrong_forms_are_refused(studio, fields, message):
    answer = studio.post("/rflaf/v1/fit", data=fields)
    assert answer.status_code == 422
    assert message in answer.json()["error"]["message"]


def test_a_refused_form_comes_back_with_what_was_typed(studio):
    fields = {"data": "digits", "rank": "two", "target": f'"{EVIL}'}
    answer = studio.post("/rflaf/fit", data=fields)
    assert answer.status_code == 422
    assert "rank is &#39;two&#39;; it must be a whole number" in answer.text
    assert 'value="two"' in answer.text
    assert "<option selected>digits</option>" in answer.text
    assert EVIL not in answer.text


def test_too_many_fits_are_told_to_wait(studio, monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_WAITING", -1)
    answer = studio.post("/rflaf/v1/fit", data={"data": "digits"})
    assert answer.status_code == 503
    assert "try again later" in answer.json()["error"]["message"]


def test_a_file_past_the_limit_is_refused_before_it_is_kept(studio, root):
    big = b"a,b\n" + b"1,2\n" * (6 * 2**20)
    answer = studio.post("/rflaf/v1/fit", files={"file": ("big.csv", big)})
    assert answer.status_code == 413
    kept = list((root / ".uploads").glob("*.csv")) if (root / ".uploads").exists() else []
    assert all(file.stat().st_size < 2**20 for file in kept)
    assert studio.post("/compare", content=b"x" * (3 * 2**20)).status_code == 413


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body must be a JSON object with `rows`"),
        (b"[1]", "`rows` must be a list of 1 to 10000"),
        (b'{"rows": []}', "`rows` must be a list of 1 to 10000"),
        (b'{"rows": [1]}', "each of `rows` must be an object"),
    ],
)
def test_wrong_predictions_are_refused(studio, body, message):
    answer = studio.post("/rflaf/v1/runs/some/predict", content=body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize("run", ["absent", "..", "%2e%2e", "..%2f..%2fetc", ".uploads"])
def test_runs_that_are_not_there(studio, run):
    assert studio.get(f"/rflaf/v1/runs/{run}").status_code == 404
    answer = studio.post(f"/rflaf/v1/runs/{run}/predict", json={"rows": [{"a": 1}]})
    assert answer.status_code in (404, 405)


def test_only_a_few_fits_may_wait(tmp_path, monkeypatch):
    import threading

    release, begun = threading.Event(), []

    def train(self, run, line):
        begun.append((run, line))
        assert release.wait(30)

    monkeypatch.setattr(Jobs, "_train", train)
    jobs = Jobs(tmp_path)
    runs = [jobs.start("digits", ["--rank=1"]) for _ in range(jobs_module.MOST_WAITING + 1)]
    with pytest.raises(Busy, match="4 fits are waiting already"):
        jobs.start("digits", [])
    assert jobs.status(runs[0])[0] == "running"
    assert jobs.status(runs[-1])[0] == "waiting"
    release.set()
    jobs._pool.shutdown(wait=True)
    assert [line for _, line in begun] == [["digits", "--rank=1"]] * 5
    assert len({run for run, _ in begun}) == 5


def test_a_fit_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_SECONDS", 0.05)
    jobs = Jobs(tmp_path)
    run = jobs.start("digits", [])
    jobs._pool.shutdown(wait=True)
    status, reason = jobs.status(run)
    assert status in ("failed", "interrupted")
    if status == "failed":
        assert reason == "stopped after 0.05 s"


def test_an_upload_keeps_its_kind_and_not_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(Jobs, "_train", lambda self, run, line: None)
    jobs = Jobs(tmp_path)
    for name, suffix in (("../../x.CSV.GZ", ".csv.gz"), ("a.parquet", ".parquet"), ("odd", ".csv")):
        run = jobs.start(name, [], io.BytesIO(b"text"))
        kept = tmp_path / ".uploads" / f"{run}{suffix}"
        assert kept.read_bytes() == b"text"
