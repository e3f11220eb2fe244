"""Children that end with their parent."""

import os
import signal
import subprocess
import sys
import textwrap
import time

from equipoise.core.children import tied_command


def test_a_child_runs_a_module_with_its_arguments():
    child = subprocess.Popen(
        tied_command("calendar", "2024", "1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "January 2024"
    child.communicate(timeout=60)


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(120)\n")
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(
            """
            import subprocess, time
            from equipoise.core.children import tied_command
            command = [part for part in tied_command("sleeper") if part != "-P"]
            child = subprocess.Popen(command, stdin=subprocess.PIPE)
            print(child.pid, flush=True)
            time.sleep(120)
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(parent)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and alive(child):
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
