"""One run on disk: a folder that says what was asked, how it goes and what came out.

The folder is the truth: every process reads it, and nothing else has to be kept in step. ``config.json``
is written once, ``status.json`` is replaced atomically, ``metrics.jsonl`` and ``log.txt`` only grow, and
tables are parquet (`sgm_core.tables`).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core import home, tables
from sgm_core.documents import document
from sgm_core.errors import Cancelled, InputError, NotFoundError, Paused, Stopped
from sgm_core.progress import Observer, Pace
from sgm_core.runs.ends import evidence, is_full
from sgm_core.runs.launchers import launcher_of
from sgm_core.runs.plain import plain
from sgm_core.runs.process import gpu_memory_taken, identity, memory_taken
from sgm_core.runs.states import ACTIVE, check_move
from sgm_core.saved import FOLDER as STATE
from sgm_core.saved import WHOLE

if TYPE_CHECKING:
    import pandas as pd

TRAININGS = ("pretrain", "finetune", "compare", "sweep")
"""Kinds that keep checkpoints."""
IN_PARTS = ("compare", "sweep")
"""Those of many trainings, whose finished ones are kept."""
_START_GRACE_S = 60.0  # a queued run may be without a process for this long: it is being launched
_WRITE_EVERY_S = 0.5
SCHEMA = 1
"""Version of a run's folder; one without a number is older, and read as well."""
_SPARE = 65_536  # bytes that a running run sets aside, so that a full disk leaves room to say so
_TAKE_S = 2.0
_MEMORY_EVERY_S = 5.0
_PULSE_S, _PULSES = 2.0, 300  # the shortest pause between two pulses; and how it grows with the time
CANCEL, PAUSE, STOP = "cancel", "pause", "stop"
"""Markers in the folder: a person wants it to end, or to go on later, or the system ends its process."""


def now() -> str:
    """Return the time in UTC, to the millisecond, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Run(Observer):
    """One piece of work and its folder; told as an observer, it writes what it hears there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self._written = 0.0
        self._pace = Pace()
        self._attempt: tuple[int, float] | None = None
        self._next_pulse = self._next_memory = 0.0
        self._memory = 0
        self._told = ""  # a part's name

    def part(self, name: str) -> Run:
        """Return this run with a log and metrics of their own, for one of several machines that work on it.

        A file on a shared disk loses lines when two machines append to it.
        """
        part = Run(self.path)
        home.check_name(name.replace("+", "-"), "part")  # arms have a + in their names
        part._told = name
        for kind in ("log", "metrics", "pulse"):
            (self.path / kind).mkdir(exist_ok=True)
        return part

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    # ---- what was asked

    @cached_property
    def config(self) -> dict[str, Any]:
        """Everything needed to repeat the run (``config.json``)."""
        return document(self.path / "config.json")

    @property
    def kind(self) -> str:
        """One of `sgm_core.runs.store.KINDS`."""
        return self.config["kind"]

    @property
    def dataset_name(self) -> str:
        """Name of the dataset it works on."""
        return self.config["dataset"]

    @property
    def title(self) -> str:
        """A few words for people."""
        return self.config["title"]

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields of the run's configuration."""
        return self.config["parameters"]

    @property
    def when_resumed(self) -> str:
        """What resuming does with what an earlier attempt did, in one sentence."""
        where = self.checkpoint
        if self.kind in IN_PARTS:
            parts = "tasks" if self.kind == "compare" else "trials"
            return (
                f"resuming goes on: finished {parts} are kept, those under way go on from their checkpoints"
            )
        if where is not None:
            return f"resuming goes on from its checkpoint: {where}"
        if self.kind in TRAININGS:
            return "resuming starts over: there is no checkpoint yet"
        return "resuming starts over: a run of this kind keeps nothing of what is half done"

    @property
    def checkpoint(self) -> str | None:
        """How far its newest checkpoint is, in words; None if there is none, or it is a comparison's."""
        if self.kind not in ("pretrain", "finetune"):
            return None
        states = [path for path in (self.path / STATE).glob("*/[0-9]*") if path.name.isdigit()]
        for newest in sorted(states, key=lambda path: path.stat().st_mtime_ns, reverse=True):
            with suppress(OSError, ValueError, KeyError, TypeError):
                return str(home.read_json(newest / WHOLE)["where"])
        return None

    def check_schema(self) -> None:
        """Refuse a folder that a later version of the program made.

        Raises
        ------
        InputError
            If it is.
        """
        if self.config.get("schema", 0) > SCHEMA:
            raise InputError(
                f"run {self.id} was made by a later version of the program (schema {self.config['schema']}, "
                f"this one reads up to {SCHEMA}): update sgm-core"
            )

    def check_dataset(self) -> None:
        """Refuse if the dataset of this name has other cells than the run was made on; none at all is fine.

        Raises
        ------
        InputError
            If it has.
        """
        from sgm_core.cells.dataset import open_dataset
        from sgm_core.cells.seen import check_same_dataset

        if not self.config.get("dataset_hash"):  # an import makes its dataset
            return
        with suppress(NotFoundError):
            check_same_dataset(self.id, self.config, open_dataset(self.dataset_name))

    def check_corpus(self) -> None:
        """Refuse if a further dataset of its pretraining has other cells than when the run was asked for.

        Raises
        ------
        InputError
            If one has.
        NotFoundError
            If one is gone.
        """
        from sgm_core.cells.dataset import open_dataset
        from sgm_core.cells.seen import check_same_dataset

        for name, content in self.config.get("corpus_hashes", {}).items():
            check_same_dataset(self.id, {"dataset_hash": content}, open_dataset(name))

    # ---- how it goes

    @property
    def status(self) -> dict[str, Any]:
        """``status.json``, put right first if the worker died without saying so."""
        status = self._read_status()
        if self._ended_silently(status) or self._waits_again(status):
            with self.locked():
                status = self._read_status()
                launcher = launcher_of(status)
                launcher.look_again(status)
                if self._ended_silently(status):
                    launcher.tidy(status)
                    cancelled = self._marker(CANCEL).exists()
                    state, why = ("cancelled", None) if cancelled else launcher.outcome(self, status)
                    status |= {"state": state, "finished": now(), "error": why}
                elif self._waits_again(status):
                    status |= {"state": "queued", "queued": now(), "started": None, "progress": None}
                else:
                    return status
                with suppress(OSError):  # on a full or a closed disk it is told again when it is asked
                    home.write_json(self.path / "status.json", status)
        return status

    @property
    def state(self) -> str:
        """One of `sgm_core.runs.states.STATES`."""
        return self.status["state"]

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.state in ACTIVE

    def update(self, **changes: Any) -> None:
        """Change fields of ``status.json``; other processes' changes to other fields are kept."""
        with self.locked():
            home.write_json(self.path / "status.json", self._read_status() | plain(changes))

    def move(self, state: str, **changes: Any) -> None:
        """Change its state, and other fields with it, in one step.

        Raises
        ------
        InputError
            If that state may not follow the one it has.
        """
        with self.locked():
            status = self._read_status()
            check_move(self.id, status["state"], state)
            home.write_json(self.path / "status.json", status | {"state": state} | plain(changes))

    def requeue(self, **changes: Any) -> None:
        """Make it a queued run (again), as if it had just been asked for; its next attempt begins.

        Parameters
        ----------
        changes
            Further fields of the status, such as the jobs that will carry it out.
        """
        for name in (CANCEL, PAUSE, STOP):
            self._marker(name).unlink(missing_ok=True)
        self._attempt = None
        status = self._read_status()
        attempt = status.get("attempt", 0) + 1
        goes_on = self.kind in IN_PARTS or self.checkpoint is not None
        self.move(
            "queued",
            attempt=attempt,
            since=status.get("since", 0) if goes_on else attempt,
            queued=now(),
            started=None,
            finished=None,
            pid=None,
            process_started=None,
            progress=None,
            error=None,
            **{"jobs": None, **changes},
        )

    def begin(self) -> None:
        """Mark it as running in this process; one of several is known by torchrun's, which watches them."""
        who = identity(os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None)
        self.move("running", started=now(), finished=None, error=None, evidence=evidence(), **who)
        with suppress(OSError):
            (self.path / ".spare").write_bytes(bytes(_SPARE))

    def finish(self, state: str, error: str | None = None) -> None:
        """Mark it as ended with `state`; `error` is the reason in one line."""
        spare = self.path / ".spare"
        text = error and " ".join(error.split())
        try:
            self.move(state, finished=now(), error=text)
        except OSError as failure:
            if not is_full(failure):
                raise
            spare.unlink(missing_ok=True)
            self.move(state, finished=now(), error=text)
        spare.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run as its one worker; the lock ends with this process, however that ends.

        Raises
        ------
        InputError
            If another process has it.
        """
        with (self.path / ".worker.lock").open("a") as stream:
            deadline = time.monotonic() + _TAKE_S  # who only asks has it for an instant
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise InputError(f"another process works on run {self.id} already") from None
                    time.sleep(0.05)
            yield

    def is_held(self) -> bool:
        """Say whether some process works on it, one of another container too, whatever the clock says."""
        try:
            with (self.path / ".worker.lock").open() as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def process_alive(self) -> bool:
        """Say whether the process or job that carries it out still exists."""
        status = self._read_status()
        launcher = launcher_of(status)
        return launcher.started(status) and launcher.alive(status)

    @contextmanager
    def locked(self, what: str = "status") -> Iterator[None]:
        """Hold one of the run's locks, so that one process at a time does `what`."""
        with (self.path / f".{what}.lock").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _read_status(self) -> dict[str, Any]:
        return dict(document(self.path / "status.json"))

    def _ended_silently(self, status: dict[str, Any]) -> bool:
        if status["state"] not in ACTIVE:
            return False
        launcher = launcher_of(status)
        if not launcher.started(status):
            return _age(status["queued"]) > _START_GRACE_S
        return not launcher.alive(status) and not self.is_held()

    def _waits_again(self, status: dict[str, Any]) -> bool:
        return status["state"] == "running" and launcher_of(status).waiting(status)

    def _marker(self, name: str) -> Path:
        return self.path / name

    def asked(self, name: str) -> float | None:
        """Return how many seconds ago the marker `CANCEL`, `PAUSE` or `STOP` was left, or None."""
        try:
            return max(0.0, time.time() - self._marker(name).stat().st_mtime)
        except FileNotFoundError:
            return None

    def cancel_asked(self) -> float | None:
        """Return how many seconds ago someone asked to cancel, or None."""
        return self.asked(CANCEL)

    def ask(self, name: str) -> None:
        """Leave a marker that makes `check` raise; asking again changes nothing."""
        with self._marker(name).open("a"):
            pass

    def ask_cancel(self) -> None:
        """Leave the marker that makes `check` raise; asking again changes nothing."""
        self.ask(CANCEL)

    # ---- the observer: what the work tells

    def message(self, text: str) -> None:
        """Append to ``log.txt``, each line with the time in UTC; what a full disk refuses is left out."""
        stamp = now()
        path = self.path / (f"log/{self._told}.txt" if self._told else "log.txt")
        with suppress(OSError), path.open("a") as stream:
            stream.write("".join(f"{stamp} {line}\n" for line in text.splitlines() or [""]))

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Write the progress and the seconds left to ``status.json``, at most twice a second."""
        clock, eta = time.monotonic(), self._pace.left(done, total)
        if clock - self._written < _WRITE_EVERY_S and done < total:
            return
        self._written = clock
        with suppress(OSError):  # what is lost on a full disk is said again soon
            facts = {"done": done, "total": total, "what": what, "eta_s": eta, "updated": now()}
            self.update(progress={**facts, "memory": self._memory_now()})

    def metric(self, **values: Any) -> None:
        """Append one row to its metrics, with the attempt's number and the seconds since it began."""
        self._append("metrics", values)

    def pulse(self, **values: Any) -> None:
        """Append one row to ``pulse.jsonl``, with this process's memory; what comes too soon is left out.

        The pause grows with the attempt: a day has about 2,000 rows.
        """
        clock = time.monotonic()
        if clock < self._next_pulse:
            return
        self._next_pulse = clock + max(_PULSE_S, (time.time() - self._attempt_now()[1]) / _PULSES)
        with suppress(OSError):  # a full disk: a training does not end for want of its pulse
            self._append("pulse", {**values, "memory": memory_taken(), "gpu_memory": gpu_memory_taken()})

    def _append(self, kind: str, values: dict[str, Any]) -> None:
        attempt, begun = self._attempt_now()
        facts = {"time": now(), "attempt": attempt, "elapsed": round(max(0.0, time.time() - begun), 1)}
        row = json.dumps({**facts, **plain(values)}, allow_nan=False)
        path = self.path / (f"{kind}/{self._told}.jsonl" if self._told else f"{kind}.jsonl")
        with path.open("a+b") as stream:
            # A line torn by a crash must not swallow this one.
            torn = False
            if stream.tell() > 0:
                stream.seek(-1, 2)
                torn = stream.read(1) != b"\n"
            stream.write((b"\n" if torn else b"") + row.encode() + b"\n")

    def _attempt_now(self) -> tuple[int, float]:
        """Return the number of the attempt under way, and when it began, in seconds since 1970."""
        if self._attempt is None:
            status = self._read_status()
            begun = status.get("started") or status.get("queued") or now()
            self._attempt = status.get("attempt", 0), datetime.fromisoformat(begun).timestamp()
        return self._attempt

    def _memory_now(self) -> int:
        """Return the bytes of memory that this process and its helpers take, looked up every few seconds."""
        if time.monotonic() >= self._next_memory:
            self._next_memory = time.monotonic() + _MEMORY_EVERY_S
            self._memory = memory_taken(helpers=True)
        return self._memory

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Keep `frame` as ``NAME.parquet``."""
        home.write_table(self.path / f"{home.check_name(name, 'table')}.parquet", frame)

    def check(self) -> None:
        """Raise `Cancelled`, `Paused` or `Stopped` if someone, or the system, asked for it."""
        if self._marker(CANCEL).exists():
            raise Cancelled(f"run {self.id} was cancelled")
        if self._marker(PAUSE).exists():
            raise Paused(f"run {self.id} was paused")
        if self._marker(STOP).exists():
            raise Stopped("the system stopped its process (SIGTERM), as a shutdown does")

    # ---- what came out

    def table_path(self, name: str) -> Path:
        """Return where the table `name` is or would be: a file, or a folder of parts."""
        return tables.table_path(self.path, name)

    def tables(self) -> list[str]:
        """Return the names of the tables that exist."""
        return tables.table_names(self.path)

    def read_table(
        self,
        name: str,
        columns: list[str] | None = None,
        filters: list[Any] | None = None,
        *,
        categories: bool = False,
        **equal: Any,
    ) -> pd.DataFrame | None:
        """Return a table or a part of it, None if it does not exist (yet).

        Parameters
        ----------
        name
            The table.
        columns
            Those to read; all by default.
        filters
            As in `pandas.read_parquet`.
        categories
            Text columns as categories, which take an eighth of the memory.
        equal
            Column and the value that its rows must have: ``arm="self-guided", scheme="partial"``. What lies
            elsewhere in the file is not read.

        Raises
        ------
        InputError
            If the table lacks one of the columns.
        """
        path = self.table_path(name)
        return tables.read(path, columns, filters, equal, categories) if path.exists() else None

    def metrics(self) -> pd.DataFrame:
        """Return the rows of its metrics that count; a torn line is left out.

        The column ``worked`` has the seconds of work since the run began, pauses left out. What an attempt
        did again counts once (`sgm_core.runs.attempts`); nothing of an attempt counts after which the run
        started over.
        """
        return self._rows("metrics")

    def pulses(self) -> pd.DataFrame:
        """Return the rows of ``pulse.jsonl`` that count: how trainings went within their epochs.

        Columns: those of the metrics that say whose training, ``epoch`` with its fraction, ``step``, ``loss``
        (of that step, as it was trained), ``cells_per_s`` since the row before, ``memory`` and ``gpu_memory``
        in bytes, and ``worked``. Empty for what was trained before there were any.
        """
        return self._rows("pulse")

    def _rows(self, kind: str) -> pd.DataFrame:
        import pandas as pd

        from sgm_core.runs.attempts import standing, worked

        rows = []
        for path in self.told_paths(kind):
            for line in path.read_bytes().splitlines():
                try:
                    rows.append(json.loads(line))
                except ValueError:
                    continue
        found = pd.DataFrame(rows)
        if "attempt" not in found:
            return found
        found["attempt"] = found["attempt"].fillna(0)
        status = self._read_status()
        since = status.get("since", 0 if self.kind in IN_PARTS else status.get("attempt", 0))
        return worked(standing(found[found["attempt"] >= since])).drop(columns=["attempt", "elapsed"])

    def told_paths(self, kind: str) -> list[Path]:
        """Return the files of ``metrics`` or ``pulse``, those of parts of the run after its own."""
        own = [self.path / f"{kind}.jsonl"]
        return [path for path in [*own, *sorted(self.path.glob(f"{kind}/*.jsonl"))] if path.exists()]

    def size(self) -> int:
        """Return the bytes that its folder takes, checkpoints included."""
        total = 0
        for folder, _, files in os.walk(self.path):
            for name in files:
                with suppress(OSError):
                    total += os.stat(os.path.join(folder, name)).st_size
        return total

    def log_tail(self, n: int = 200) -> str:
        """Return the last `n` lines of the log, those of parts of the run in the order of their times."""
        return "\n".join(merged([list(with_times(_tail(path, n))) for path in self.log_paths()], n))

    def log_paths(self) -> list[Path]:
        """Return the files of the log, those of parts of the run after its own."""
        own = self.path / "log.txt"
        return [path for path in [own, *sorted(self.path.glob("log/*.txt"))] if path.exists()]


def _tail(path: Path, n: int) -> list[str]:
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 400 * n))
        return stream.read().decode(errors="replace").splitlines()[-n:]


def merged(files: Sequence[Iterable[tuple[str, str]]], n: int) -> list[str]:
    """Return the last `n` lines of the files of a log by their times; those of one file keep their order."""
    timed = [pair for file in files for pair in file]
    if len(files) > 1:
        timed.sort(key=itemgetter(0))
    return [line for _, line in timed[-n:]]


def with_times(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each line of a log with its time; one that has none has that of the line before."""
    when = ""
    for line in lines:
        stamp = line.partition(" ")[0]
        when = stamp if stamp.endswith("Z") and stamp[:1].isdigit() else when
        yield when, line


def _age(stamp: str) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds())
