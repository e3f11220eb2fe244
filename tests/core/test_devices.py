"""Device names."""

import pytest

from equipoise.core.devices import check_device
from equipoise.core.errors import InvalidInput


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_known_devices(name):
    assert check_device(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cpuu", "unknown device 'cpuu': did you mean 'cpu'? Valid: auto, cpu, cuda, mps"),
        ("cuda:x", "unknown device 'cuda:x': did you mean 'cuda'?"),
        ("CPU", "unknown device 'CPU': did you mean 'cpu'?"),
        ("", "unknown device ''. Valid: auto, cpu, cuda, mps"),
    ],
)
def test_unknown_devices_get_the_nearest(name, message):
    with pytest.raises(InvalidInput) as caught:
        check_device(name)
    assert str(caught.value).startswith(message)
