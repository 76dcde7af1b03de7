"""What confines a decoder: files, network, processes, and the death of its parent."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared import sandbox
from shared.decoder import Child, DecodeLimits
from shared.errors import SandboxMissing


@pytest.fixture
def confined():
    layers = sandbox.layers()
    if not (layers.files and layers.network):  # an old kernel; CI's is not
        pytest.skip("this kernel confines neither files nor network")


def output_of(*command, **options):
    with Child([*command], DecodeLimits(), **options) as child:
        return child.stdout.read(), child.finish()


def test_a_child_reads_the_file_it_is_given_and_no_other(confined, tmp_path):
    given, other = tmp_path / "given", tmp_path / "other"
    given.write_text("mine")
    other.write_text("secret")

    assert output_of("cat", str(given), reads=(given,)) == (b"mine", 0)
    content, status = output_of("cat", str(other), reads=(given,))
    assert content == b""
    assert status != 0
    assert output_of("cat", "/etc/passwd")[0] == b""
    assert output_of("cat", f"/proc/{os.getppid()}/environ")[0] == b""


def test_a_child_reaches_no_port(confined):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        _, status = output_of("bash", "-c", f"echo hello > /dev/tcp/127.0.0.1/{port}")

        assert status != 0
        with pytest.raises(TimeoutError):
            server.accept()


def test_landlock_alone_keeps_from_ports_too(confined, monkeypatch):
    alone = sandbox.Layers(landlock=sandbox.layers().landlock)
    monkeypatch.setattr(sandbox, "_detect", lambda: alone)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        _, status = output_of("bash", "-c", f"echo hello > /dev/tcp/127.0.0.1/{port}")

    assert status != 0


def test_a_child_writes_nothing(tmp_path):
    target = tmp_path / "written"

    _, status = output_of("bash", "-c", f"echo hello > {target}")

    assert status != 0
    assert not target.exists() or target.stat().st_size == 0


def test_this_process_is_not_confined_by_its_children(confined, tmp_path):
    output_of("true")

    (tmp_path / "ours").write_text("as before")
    assert Path("/etc/passwd").read_text()


def test_without_the_sandbox_the_limits_remain(tmp_path):
    other = tmp_path / "other"
    other.write_text("open")
    limits = DecodeLimits(sandbox="off")

    with Child(["cat", str(other)], limits) as child:
        assert child.stdout.read() == b"open"
    with Child(["bash", "-c", f"echo hello > {tmp_path}/written"], limits) as child:
        child.stdout.read()
        assert child.finish() != 0


def test_who_requires_the_sandbox_gets_no_child_without_it(monkeypatch):
    monkeypatch.setattr(sandbox, "_detect", sandbox.Layers)

    with pytest.raises(SandboxMissing), Child(["true"], DecodeLimits(sandbox="require")):
        pass
    with Child(["true"], DecodeLimits(sandbox="auto")) as child:
        assert child.finish() == 0


@pytest.mark.parametrize(
    ("layers", "prefix", "limits"),
    [
        (sandbox.Layers(), (), ()),
        (sandbox.Layers(4, ("--net", "--ipc")), ("--net", "--ipc", "--"), ()),
        (
            sandbox.Layers(0, ("--user", "--net", "--ipc")),
            ("--user", "--net", "--ipc", "--"),
            ("--nproc=512",),
        ),
    ],
)
def test_processes_are_counted_where_the_child_has_users_of_its_own(layers, prefix, limits):
    assert layers.prefix()[1:] == prefix
    assert layers.limits() == limits


def test_a_child_dies_with_its_parent(wait_for):
    program = (
        "import time\n"
        "from shared.decoder import Child, DecodeLimits\n"
        "with Child(['sleep', '600'], DecodeLimits()) as child:\n"
        "    print(child._process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    while Path(f"/proc/{pid}/comm").read_text().strip() != "sleep":  # it has become the tool
        time.sleep(0.01)

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    wait_for(lambda: not alive(pid))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
