"""A real SLURM on this machine: one controller and two nodes, in a temporary folder."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
CONFIGURATION = """
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
ReturnToService=2
SlurmdTimeout=5
SlurmdParameters=config_overrides
InactiveLimit=0
MinJobAge=3600
JobRequeue=1
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=100000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=100000
PartitionName=short Nodes=ALL Default=YES MaxTime=INFINITE
PartitionName=long Nodes=ALL MaxTime=INFINITE
"""


def missing_programs() -> list[str]:
    """Return the programs of SLURM and MUNGE that this machine does not have."""
    return [name for name in PROGRAMS if find(name) is None]


def find(program: str) -> str | None:
    """Return the path of a program. Daemons are not on every user's PATH."""
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


class Slurm:
    """A cluster of `node1` and `node2` with two CPUs each, and the partitions `short` (default) and `long`."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.cluster = f"test{os.getpid()}"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "spool-node1", "spool-node2", "bin"):
            (self.directory / name).mkdir()
        sockets = [socket.socket() for _ in range(3)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        (self.directory / "slurm.conf").write_text(
            CONFIGURATION.format(
                cluster=self.cluster,
                host=socket.gethostname().split(".")[0],
                ports=ports,
                directory=self.directory,
                user=getpass.getuser(),
            )
        )
        # The wrapper sets SLURM_CONF again, because the executor plugin removes it. A real cluster has
        # /etc/slurm/slurm.conf.
        srun = self.directory / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.directory}/slurm.conf exec {find("srun")} "$@"\n')
        srun.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of a user of the cluster."""
        return {"SLURM_CONF": f"{self.directory}/slurm.conf", "PATH": f"{self.directory}/bin:{os.environ['PATH']}"}

    def run(self, *command: str) -> str:
        """Run one of SLURM's commands and return its output."""
        return subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, check=True
        ).stdout

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle."""
        key = self.directory / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid"}
        files |= {"log-file": "munge.log", "seed-file": "munge.seed"}
        options = [f"--{option}={self.directory / name}" for option, name in files.items()]
        self.daemon("munged", "--foreground", "--force", *options)
        self.wait_for(lambda: (self.directory / "munge.socket").exists(), "munged")
        self.daemon("slurmctld", "-D")
        for node in ("node1", "node2"):
            self.daemon("slurmd", "-D", "-N", node)
        self.wait_for_nodes()

    def start_node(self, node: str) -> None:
        """Start a node again after `kill_node`, and wait until it is back."""
        self.daemons[node].wait()
        self.daemon("slurmd", "-D", "-N", node)
        self.wait_for_nodes()

    def wait_for_nodes(self) -> None:
        """Wait until both nodes are idle."""
        self.wait_for(
            lambda: self.run("sinfo", "-h", "-N", "-p", "short", "-o", "%T").split() == ["idle", "idle"], "the nodes"
        )

    def daemon(self, program: str, *arguments: str) -> None:
        """Start a daemon in the foreground of its own process."""
        name = arguments[-1] if program == "slurmd" else program
        with (self.directory / f"{name}.output").open("wb") as output:
            self.daemons[name] = subprocess.Popen(
                [find(program), *arguments], stdout=output, stderr=output, env=os.environ | self.environment
            )

    def wait_for(self, ready, what: str, seconds: float = 60) -> None:
        """Wait until `ready()` is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if ready():
                    return
            except subprocess.CalledProcessError:
                pass
            time.sleep(0.2)
        logs = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in self.directory.glob("*.output"))
        raise TimeoutError(f"{what} did not get ready in {seconds} s\n{logs}")

    def processes(self, node: str | None = None) -> list[psutil.Process]:
        """Return the processes of jobs and of their SLURM steps, on one node or on both."""
        found = []
        for process in psutil.process_iter():
            try:
                variables = process.environ()
                if variables.get("SLURM_CLUSTER_NAME") != self.cluster:
                    continue
                if node in (None, variables.get("SLURMD_NODENAME")):
                    steps = [parent for parent in process.parents() if parent.name().startswith("slurmstepd")]
                    found += [*steps, process]
            except psutil.Error:
                continue
        return list(dict.fromkeys(found))

    def hold(self, node: str) -> None:
        """Suspend the processes on a node, so that no job there ends."""
        for process in self.processes(node):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def release(self, node: str) -> None:
        """Resume the suspended processes on a node."""
        for process in self.processes(node):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def kill_node(self, node: str) -> None:
        """Kill a node with all its processes."""
        processes = self.processes(node)
        self.daemons[node].send_signal(signal.SIGKILL)
        # The SLURM steps are killed first, because they would report the end of their job.
        for process in sorted(processes, key=lambda process: not process.name().startswith("slurmstepd")):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        """Kill all daemons and jobs and delete the folder."""
        for name in reversed(self.daemons):
            self.daemons[name].kill()
            self.daemons[name].wait()
        while processes := self.processes():
            for process in processes:
                process.kill()
            psutil.wait_procs(processes, 10)
        shutil.rmtree(self.directory)
