"""Optional dependencies by concern, and the one line that installs an absent one."""

import importlib
import importlib.util
from dataclasses import dataclass
from types import MappingProxyType, ModuleType

from equipoise.core.errors import MissingExtra


@dataclass(frozen=True)
class Extra:
    """A group of optional dependencies: the modules it brings and what they are for."""

    modules: tuple[str, ...]
    enables: str


EXTRAS = MappingProxyType(
    {
        "text": Extra(
            ("transformers", "gguf", "peft", "accelerate", "xllamacpp", "httpx2"),
            "language models: local back ends, OpenAI-compatible endpoints, sentence encoders",
        ),
        "web": Extra(
            ("fastapi", "starlette", "uvicorn", "jinja2", "multipart", "sqlalchemy"),
            "the studio and every server",
        ),
        "scale": Extra(("ray",), "work past one machine, on a Ray cluster"),
        "peers": Extra(("evalica", "rfflearn"), "side-by-side benchmarks against other packages"),
        "dev": Extra(
            ("pytest", "hypothesis", "ruff", "importlinter", "playwright"), "tests and documents"
        ),
    }
)


def is_present(module: str) -> bool:
    """Return whether a module could be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require(module: str, extra: str) -> ModuleType:
    """Import and return `module`, which belongs to the optional group `extra`.

    Raises:
        MissingExtra: the module is not installed; the message holds the install line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{module}.".startswith(f"{error.name}."):
            raise
        raise MissingExtra(
            f"this needs {module.partition('.')[0]}, which is not installed; "
            f"run: pip install 'equipoise[{extra}]'",
            name=module,
        ) from None
