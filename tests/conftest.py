"""What all tests share: the project's root, the development data, a clean home for the cache."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile(
    "equipoise", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("equipoise")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as a shell starts what runs in the background; the processes that tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data files; tests that use it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("development data not found at ../shared/data")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The embedded language model's file; pulled on first use, skipped where that fails."""
    from equipoise.core.errors import EquipoiseError
    from equipoise.core.store import pull

    try:
        return pull("smollm2-135m")
    except EquipoiseError as error:
        pytest.skip(f"embedded model not available: {error}")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The sentence encoder's folder; pulled on first use, skipped where that fails."""
    from equipoise.core.errors import EquipoiseError
    from equipoise.core.store import pull

    try:
        return pull("all-minilm-l6-v2")
    except EquipoiseError as error:
        pytest.skip(f"sentence encoder not available: {error}")
