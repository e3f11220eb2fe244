"""The peers of the benchmark, each in an environment of its own, named by `EQUIPOISE_PEERS`.

The folder holds `pysbd/`, `litellm/` and `nemo/`, made once:

    python -m venv $EQUIPOISE_PEERS/pysbd && $EQUIPOISE_PEERS/pysbd/bin/pip install pysbd==0.3.4
    python -m venv $EQUIPOISE_PEERS/litellm
    $EQUIPOISE_PEERS/litellm/bin/pip install 'litellm[proxy]==1.109.*'
    python -m venv $EQUIPOISE_PEERS/nemo
    $EQUIPOISE_PEERS/nemo/bin/pip install 'nemoguardrails[server]==0.24.*'

(Where an index lacks the very `litellm-proxy-extras` that LiteLLM pins, install `litellm` alone and
what its extra `proxy` names one by one.) A peer that is not there or does not start is absent from
the results, with that reason. Their guardrails look at the text and let all of it pass.
"""

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stream_aligner_load import answers

VARIABLE = "EQUIPOISE_PEERS"

_LITELLM = """\
model_list:
  - model_name: m
    litellm_params: {{model: openai/m, api_base: "{address}/v1", api_key: none}}
guardrails:
  - guardrail_name: pass
    litellm_params: {{guardrail: pass_guard.PassGuard, mode: post_call, default_on: true}}
"""
_GUARD = """\
from litellm.integrations.custom_guardrail import CustomGuardrail

class PassGuard(CustomGuardrail):
    {setting}

    async def apply_guardrail(self, inputs, request_data, input_type, logging_obj=None):
        return inputs
"""
_NEMO = """\
models:
  - type: main
    engine: openai
    model: m
    parameters: {{base_url: "{address}/v1", api_key: none}}
passthrough: true
rails:
  output:
    flows: [pass text]
    streaming: {{enabled: true, stream_first: false{setting}}}
"""
_RAIL = """\
define subflow pass text
  $outcome = execute pass_text
  if $outcome.is_blocked
    bot refuse to respond
    stop
"""
_ACTION = """\
from nemoguardrails.actions import action
from nemoguardrails.actions.rail_outcome import RailOutcome

@action(is_system_action=True)
async def pass_text(context=None, **rest):
    return RailOutcome.allow()
"""


class Absent(Exception):
    """A peer is not there, or does not run here; the message says why."""


def python_of(name: str) -> Path:
    """Return the interpreter of a peer's environment.

    Raises:
        Absent: the variable is not set, or the environment is not there.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise Absent(f"{VARIABLE} is not set")
    python = Path(folder) / name / "bin" / "python"
    if not python.exists():
        raise Absent(f"no environment {name} in {VARIABLE}")
    return python


def write_litellm(folder: Path, address: str, setting: str) -> list[str]:
    """Write LiteLLM's files; return its command line, without the port."""
    (folder / "config.yaml").write_text(_LITELLM.format(address=address))
    (folder / "pass_guard.py").write_text(_GUARD.format(setting=setting))
    program = python_of("litellm").with_name("litellm")
    return [str(program), "--config", "config.yaml", "--host", "127.0.0.1"]


def write_nemo(folder: Path, address: str, setting: str) -> list[str]:
    """Write the files of NeMo Guardrails; return its command line, without the port."""
    rails = folder / "configs" / "pass"
    rails.mkdir(parents=True)
    (rails / "config.yml").write_text(_NEMO.format(address=address, setting=setting))
    (rails / "rails.co").write_text(_RAIL)
    (rails / "actions.py").write_text(_ACTION)
    program = python_of("nemo").with_name("nemoguardrails")
    return [str(program), "server", "--config", str(folder / "configs"),
            "--default-config-id", "pass", "--disable-chat-ui"]  # fmt: skip


Writer = Callable[[Path, str, str], list[str]]
SERVERS: dict[str, tuple[Writer, str]] = {
    "litellm_whole": (write_litellm, "streaming_buffer_until_moderated = True"),
    "litellm_diff": (write_litellm, 'streaming_transform_mode = "incremental_diff"'),
    "nemo": (write_nemo, ""),
    "nemo_10": (write_nemo, ", chunk_size: 10, context_size: 0"),
}
"""What is compared: LiteLLM holding back the whole answer, or looking every five chunks; NeMo with
its default of 200 tokens, or with chunks of 10. All hold text back until the guardrail has seen it.
"""


@contextmanager
def peer(name: str, address: str, patience: float = 60.0) -> Iterator[str]:
    """Run a peer's server in front of an upstream; yields its base address.

    Raises:
        Absent: it is not installed, or did not answer within `patience` seconds.
    """
    write, setting = SERVERS[name]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        command = write(place, address, setting)
        port = free_port()
        environment = os.environ | {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "OPENAI_API_KEY": "none",
        }
        with subprocess.Popen(
            [*command, "--port", str(port)], cwd=place, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                if not answers(f"http://127.0.0.1:{port}/", patience, process):
                    raise Absent(f"{name} did not answer within {patience:g} s")
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                process.kill()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
