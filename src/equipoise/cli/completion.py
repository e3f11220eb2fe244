"""`equipoise completion`: a completion script for the user's shell."""

from typing import Any, Literal


def completion(shell: Literal["bash", "zsh", "fish"] = "bash") -> dict[str, Any]:
    """Print a completion script: `equipoise completion bash > ~/.local/share/bash-completion/...`.

    Args:
        shell: which shell.
    """
    from equipoise.cli import build_app

    return {"script": build_app().generate_completion(shell=shell)}
