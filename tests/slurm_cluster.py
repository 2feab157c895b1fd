"""A cluster of one node on this machine, for the tests: munge, slurmctld, slurmd with files of their own."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
_SBIN = "/usr/sbin:/usr/local/sbin"

_CONF = """
ClusterName=sgm
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={place}/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=20
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmdSpoolDir={place}/spool
StateSaveLocation={place}/state
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1 GraceTime=20 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=60 State=UP PriorityTier=10
"""


class NoClusterError(Exception):
    """Why no cluster can be started here."""


@dataclass
class Cluster:
    """A running cluster; `conf` is what SLURM_CONF has to name."""

    place: Path
    munged: int

    @property
    def conf(self) -> Path:
        return self.place / "slurm.conf"

    def stop(self) -> None:
        """End its jobs and daemons, those alone; a job that outlived its daemon would stay for ever."""
        for signals in ((), ("--signal=KILL", "--full")):
            _said(["scancel", *signals, "-u", getpass.getuser()])
            deadline = time.monotonic() + 5
            while _said(["squeue", "--noheader"]) and time.monotonic() < deadline:
                time.sleep(0.2)
        pids = [self.munged]
        for name in ("slurmd", "slurmctld"):
            file = self.place / f"{name}.pid"
            if file.exists():
                pids.insert(0, int(file.read_text()))
        for pid in pids:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGTERM)


def start_cluster(place: Path) -> Cluster:
    """Start it in a folder with a short path, for its sockets.

    Raises
    ------
    NoClusterError
        If a program is missing, or a daemon does not come up, with what it says.
    """
    os.environ["PATH"] = f"{os.environ['PATH']}:{_SBIN}"
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise NoClusterError(f"{', '.join(absent)} not found: apt-get install slurm-wlm munge")
    for name in ("munge", "spool", "state"):
        (place / name).mkdir(mode=0o755)
    key = place / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = {"key-file": key, "socket": "munge/socket", "pid-file": "munge/pid", "seed-file": "munge/seed"}
    _begin(
        "munged", *(f"--{name}={place / path}" for name, path in files.items()), f"--log-file={place}/m.log"
    )
    _until(lambda: (place / "munge" / "pid").exists(), "munged does not start", place / "m.log")
    cluster = Cluster(place, int((place / "munge" / "pid").read_text()))
    host, ports = socket.gethostname().partition(".")[0], _free_ports(2)
    cluster.conf.write_text(
        _CONF.format(host=host, user=getpass.getuser(), place=place, controller=ports[0], daemon=ports[1])
    )
    os.environ["SLURM_CONF"] = str(cluster.conf)
    try:
        for name in ("slurmctld", "slurmd"):
            _begin(name, "-f", str(cluster.conf))
        ready = ["sinfo", "--noheader", "--format=%t"]
        _until(lambda: "idle" in _said(ready).split(), "the node does not get idle", place / "slurmctld.log")
    except NoClusterError:
        cluster.stop()
        raise
    return cluster


def _begin(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise NoClusterError(f"{command[0]} does not start: {done.stderr.strip() or done.stdout.strip()}")


def _said(command: list[str]) -> str:
    with suppress(subprocess.TimeoutExpired):  # without a controller they wait
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout
    return ""


def _until(is_so: object, problem: str, log: Path, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-600:] if log.exists() else "nothing in its log"
            raise NoClusterError(f"{problem}: {tail}")
        time.sleep(0.1)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
