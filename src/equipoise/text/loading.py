"""From a specification string to a back end."""

from collections.abc import Callable
from typing import Any

from equipoise.core.devices import check_device
from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.text.interface import Backend


def load_backend(spec: str, *, device: str = "auto", **options: Any) -> Backend:
    """Open the model that `spec` names.

    Args:
        spec: `llamacpp:NAME_OR_PATH` (GGUF), `transformers:NAME_OR_PATH` (a name, a model or LoRA
            folder, a GGUF file, or the run folder that trained one), or `openai:URL#MODEL`.
        device: where a local model computes: `auto` (an accelerator where there is one), `cpu`,
            `cuda`, `cuda:N` or `mps`. An endpoint decides for itself.
        **options: of the back end; see `LlamaCppBackend`, `TransformersBackend`, `OpenAIBackend`.

    Raises:
        InvalidInput: an unknown scheme, model or option (the nearest is named), a broken file.
        MissingData: the model is not on this machine.
        MissingExtra: the packages for it are not installed.
    """
    scheme, separator, target = spec.partition(":")
    schemes = {"llamacpp": _llamacpp, "transformers": _transformers, "openai": _openai}
    if not separator or scheme not in schemes:
        raise unknown_name("back end", scheme, [f"{name}:..." for name in schemes])
    if not target:
        raise InvalidInput(f"{spec!r} names no model; write e.g. {scheme}:smollm2-135m")
    check_device(device)
    local = {} if scheme == "openai" else {"device": device}
    return schemes[scheme](target, local | options)


def _llamacpp(target: str, options: dict[str, Any]) -> Backend:
    from equipoise.text.backend_llamacpp import LlamaCppBackend

    return _construct(LlamaCppBackend, (target,), options)


def _transformers(target: str, options: dict[str, Any]) -> Backend:
    from equipoise.text.backend_transformers import TransformersBackend

    return _construct(TransformersBackend, (target,), options)


def _openai(target: str, options: dict[str, Any]) -> Backend:
    from equipoise.text.backend_openai import OpenAIBackend

    url, separator, model = target.partition("#")
    if not separator or not model or not url:
        raise InvalidInput(
            f"'openai:{target}' must name URL and model, e.g. openai:http://127.0.0.1:8000/v1#MODEL"
        )
    return _construct(OpenAIBackend, (url, model), options)


def _construct(
    kind: Callable[..., Backend], arguments: tuple[str, ...], options: dict[str, Any]
) -> Backend:
    import inspect

    valid = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in options:
        if name not in valid:
            raise unknown_name(f"option of {getattr(kind, '__name__', 'back end')}", name, valid)
    return kind(*arguments, **options)
