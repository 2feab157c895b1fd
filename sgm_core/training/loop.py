"""One loop for every training: step, accumulate, clip, schedule, stop, guard, and a state that can be saved.

A `Task` says what is trained: its modules and parameter groups, the batches of an epoch, the loss of a batch,
and what an epoch's end measures. The `Loop` does the rest, the same for pretraining, finetuning and a probe.
With a `Keeper` it writes its state now and then, and goes on from it after whatever ended the process.

Several processes (`sgm_core.world`) go through the same batches, each with a part of every one, and take the
same updates. The first asks whether to stop and writes; the others do as it says.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from sgm_core.errors import Cancelled, Paused, Stopped, TrainingError
from sgm_core.progress import Observer
from sgm_core.saved.keeper import Keeper
from sgm_core.training.config import FinetuneConfig, PretrainConfig
from sgm_core.training.data import ahead, group_size
from sgm_core.training.stopping import BestEpoch, Score
from sgm_core.training.together import Alone, Together
from sgm_core.world import ALONE, world

_Made = TypeVar("_Made")
Recipe = PretrainConfig | FinetuneConfig
_PULSE_S = 2.0  # between two looks at how it goes, each of which waits for a GPU
_STEPS_UNSEEN = 50  # between two looks at the losses on a GPU, each of which waits for it
_NAMED = 5  # cells of a batch that an error names
_STOPS = (Cancelled, Paused, Stopped)


class Task(Generic[_Made]):
    """What is trained; every training is a subclass.

    Attributes
    ----------
    phase : what the training is called in messages
    rates : the fields that hold its learning rates, for the advice after a loss that is not finite
    device : where the batches go
    modules : what is trained; the best epoch's weights and the saved state are theirs
    n_batches : batches an epoch
    facts : what its metrics bear: phase, arm, fold ...; none = its pulse tells nobody
    order : random numbers that `start_epoch` orders the cells by, where it draws any
    shared : whether processes that train together each take a part of its batches; else each does all of it
    """

    phase: str
    rates: str
    device: torch.device
    modules: Sequence[nn.Module]
    n_batches: int
    facts: Mapping[str, Any] = MappingProxyType({})
    order: np.random.Generator | None = None
    shared: bool = True

    def groups(self) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups, each with its ``lr``."""
        raise NotImplementedError

    def start_epoch(self, epoch: int) -> list[np.ndarray]:
        """Switch the modules to training; return the batches, each the row numbers of its cells."""
        raise NotImplementedError

    def make(self, epoch: int, rows: np.ndarray) -> _Made:
        """Make this process's part of the batch of the cells `rows`, all of them where it is alone.

        On a GPU this runs in a thread beside the step before.
        """
        raise NotImplementedError

    def loss(self, batch: _Made) -> Tensor:
        """Return the loss of a batch, a scalar, and count what is to be counted.

        Of a part of a batch it is the part of the loss (see `sgm_core.model.parts`).
        """
        raise NotImplementedError

    def end_epoch(self, epoch: int, seconds: float) -> Score | None:
        """Measure and report the epoch, which took `seconds`; return its score, larger being better.

        None where there is nothing to judge it by: the last epoch is then kept.
        """
        raise NotImplementedError

    def take(self, modules: Sequence[nn.Module]) -> None:
        """Go on, after the training, with its modules as one process has them; none but in the first."""

    def counted(self) -> list[Tensor]:
        """Return what is counted over batches; where processes share these, each counts its part."""
        return []

    def cell_names(self, rows: np.ndarray) -> Sequence[str]:
        """Return the names of cells, or nothing where they have none."""
        return ()

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from step to step beside modules and `order`: tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned."""

    def within_epoch(self) -> dict[str, Any]:
        """Return what `start_epoch` sets back and the epoch's batches so far have changed."""
        return {}

    def go_on_within(self, state: dict[str, Any]) -> None:
        """Go back to what `within_epoch` returned; `start_epoch` was called before."""


def schedule(optimiser: torch.optim.Optimizer, kind: str, updates: int) -> lr_scheduler.LRScheduler:
    """Return the learning rate over `updates` updates: constant, or 5 % warm-up and cosine decay to zero."""
    if kind == "constant":
        return lr_scheduler.ConstantLR(optimiser, factor=1.0)
    warm = max(1, updates // 20)
    rise = lr_scheduler.LinearLR(optimiser, start_factor=1 / warm, total_iters=max(1, warm - 1))
    fall = lr_scheduler.CosineAnnealingLR(optimiser, T_max=max(1, updates - warm))
    return lr_scheduler.SequentialLR(optimiser, [rise, fall], milestones=[warm])


def who_asks(observer: Observer) -> Observer:
    """Return who is asked, within an epoch's measurement, whether to stop.

    Of several processes none may stop alone: they ask between two steps.
    """
    return observer if world() is ALONE else Observer()


class Loop(Generic[_Made]):
    """Trains a task.

    Parameters
    ----------
    task : what is trained
    recipe : epochs, accumulation, clipping, schedule and the optimiser's choices
    observer : is told the progress and asked whether to stop
    keep_best : keep the weights of the epoch of the best score; without it, nothing stops early
    keeper : keeps the state on disk, and has that of an earlier attempt; None = nothing is kept

    Attributes
    ----------
    epoch : epochs that are done
    step : batches that are done of the epoch under way
    """

    def __init__(
        self,
        task: Task[_Made],
        recipe: Recipe,
        observer: Observer | None = None,
        keep_best: bool = True,
        keeper: Keeper | None = None,
    ) -> None:
        self.task, self.recipe, self.observer, self.keeper = task, recipe, observer or Observer(), keeper
        self.world = world() if task.shared else ALONE
        self.together = self._shared_out()
        self.parameters = [p for module in task.modules for p in module.parameters()]
        self.optimiser = torch.optim.Adam(
            task.groups(), weight_decay=recipe.weight_decay, amsgrad=recipe.amsgrad
        )
        updates = recipe.epochs * -(-task.n_batches // recipe.accumulation)
        self.schedule = schedule(self.optimiser, recipe.schedule, updates)
        self.best = BestEpoch(task.modules, recipe.patience) if keep_best else None
        self.epoch = self.step = 0
        self._started = time.perf_counter()  # of the epoch, without pauses
        self._ordered_by = self._order_now()  # as the epoch began
        self._within: dict[str, Any] = {}
        self._unseen: list[tuple[int, np.ndarray, Tensor]] = []  # step, cells, loss

    def run(self, until: int | None = None) -> None:
        """Train to the end, or until `until` epochs are done; go on where the keeper has a state.

        At the end the modules have the weights of the best epoch.

        Raises
        ------
        TrainingError
            If a loss, a score or a weight is not finite.
        Cancelled
            If the user asked for it; where there is a keeper, it has the state of that moment.
        """
        task, epochs = self.task, self.recipe.epochs
        if self.keeper is not None and (state := self.keeper.load()) is not None:
            self.load_state_dict(state)
            self._leave_counts_to_the_first()
            self.observer.message(f"{self.task.phase} goes on from its checkpoint: {self._where()}")
        while self.epoch < min(epochs, until or epochs) and not self._ended:
            self._train_epoch()
        if self._ended or self.epoch == epochs:
            if self.best is not None:
                self.best.restore()
            task.take(self.together.plain())
        if self.keeper is not None:
            self.keeper.say_cost()

    def _shared_out(self) -> Alone:
        if self.world.size == 1:
            return Alone(self.task.modules)
        if getattr(self.recipe, "parallel", "ddp") == "fsdp":
            from sgm_core.training.sharded import Sharded  # its import takes a second

            return Sharded(self.task.modules, self.world, self.task.device)
        return Together(self.task.modules, self.world)

    @property
    def _ended(self) -> bool:
        return self.best is not None and self.best.ended

    def _train_epoch(self) -> None:
        task = self.task
        earlier = time.perf_counter() - self._started if self.step else 0.0
        order = task.start_epoch(self.epoch)
        if self.step:
            task.go_on_within(self._within)
            self._leave_counts_to_the_first()
        self._started = time.perf_counter() - earlier
        self.steps(order)
        self.world.collect(task.counted())
        score = self._measure(len(order))
        if score is not None:
            score = tuple(self.world.tell(score))
        if not np.isfinite(score or 0).all() or not self.together.finite(self.parameters):
            raise self._error("a weight or the validation loss is not finite at its end")
        self.epoch += 1
        self._ordered_by = self._order_now()
        if self.best is not None and score is not None and self.best.ends(score, self.epoch):
            self.observer.message(
                f"stopped after epoch {self.epoch}: no improvement for {self.recipe.patience} epochs"
            )
        last = self._ended or self.epoch == self.recipe.epochs
        if self.keeper is not None and self._told(last or self.keeper.due(ends_epoch=True)):
            self._keep()

    def _measure(self, steps: int) -> Score | None:
        """Let the task measure the epoch; a wish to stop meanwhile keeps the state after its last step."""
        try:
            took = time.perf_counter() - self._started
            return self.together.measure(self.task.end_epoch, self.epoch, took)
        except Cancelled:
            if self.keeper is not None and self.world.size == 1:  # else the others are elsewhere
                self.step = steps
                self._keep()
            raise

    def steps(self, order: Sequence[np.ndarray]) -> None:
        """Train on some batches, each the row numbers of its cells, as an epoch does on its own.

        The batches before `step` are done already. The observer's `check` is called as each update begins:
        between two updates there are no gradients, so that a state can be kept.

        Raises
        ------
        TrainingError
            If a loss is not finite.
        """
        task, recipe, epoch, last_said = self.task, self.recipe, self.epoch, 0.0
        begun = self.step
        n_cells, last_pulse = 0, time.perf_counter()
        for number, batch in enumerate(ahead(partial(task.make, epoch), order[begun:], task.device), begun):
            if number % recipe.accumulation == 0:
                self.step = number
                self._between_updates(len(order))
            last = (number + 1) % recipe.accumulation == 0 or number + 1 == len(order)
            with self.together.part(len(order[number]), last):
                loss, whole = self.together.loss(task.loss, batch)
                self._guard(number, order[number], whole, len(order))
                (loss / group_size(number, len(order), recipe.accumulation)).backward()
            if last:
                if recipe.clip:
                    torch.nn.utils.clip_grad_norm_(self.parameters, recipe.clip)
                self.optimiser.step()
                self.optimiser.zero_grad(set_to_none=True)
                self.schedule.step()
            if time.perf_counter() - last_said > 0.5:
                last_said = time.perf_counter()
                done = epoch + (number + 1) / len(order)
                self.observer.progress(done, recipe.epochs, f"{task.phase}, epoch {epoch + 1}")
            n_cells += len(order[number])
            if task.facts and (seconds := time.perf_counter() - last_pulse) > _PULSE_S:
                step = epoch * task.n_batches + number + 1
                now = {"step": step, "loss": float(whole), "cells_per_s": n_cells / seconds}
                self.observer.pulse(**task.facts, epoch=epoch + (number + 1) / len(order), **now)
                n_cells, last_pulse = 0, time.perf_counter()
        self._require_finite(len(order))
        self.step = 0

    def _between_updates(self, steps: int) -> None:
        """Ask whether to stop, and keep the state where it is time, or the work is to stop."""
        stop: Cancelled | None = None
        try:
            self.observer.check()
        except Cancelled as asked:
            stop = asked
        begun = self.keeper is not None and bool(self.epoch or self.step)
        due = self.keeper is not None and bool(self.step) and self.keeper.due()
        kind = max((n for n, each in enumerate(_STOPS, 1) if isinstance(stop, each)), default=0)
        kind, keep = map(int, self.world.tell([kind, due or (begun and kind > 0)]))
        if keep:
            self._require_finite(steps)
            self.world.collect(self.task.counted())
            self._keep()
        if kind:
            raise stop or _STOPS[kind - 1]("the first process was asked to stop")

    def _keep(self) -> None:
        """Keep the state, when the first process has the counts of all."""
        assert self.keeper is not None
        state = self.together.whole(self.state_dict())
        if self.world.first:
            self.keeper.save(state, self._where())

    def _told(self, answer: bool) -> bool:
        """Return the first process's answer."""
        return bool(self.world.tell([answer])[0])

    def _leave_counts_to_the_first(self) -> None:
        if not self.world.first:
            for tensor in self.task.counted():
                tensor.zero_()

    def _where(self) -> str:
        """Say how far it is."""
        done = f"{self.epoch} of {self.recipe.epochs} epochs done"
        return done + (f", and step {self.step} of the next" if self.step else "")

    def _order_now(self) -> Any:
        return None if self.task.order is None else self.task.order.bit_generator.state

    def _guard(self, step: int, rows: np.ndarray, loss: Tensor, steps: int) -> None:
        """Keep a loss in mind; look at it at once on a CPU, and where that means waiting at times."""
        self._unseen.append((step, rows, loss))
        if self.task.device.type == "cpu" or len(self._unseen) >= _STEPS_UNSEEN:
            self._require_finite(steps)

    def _require_finite(self, steps: int) -> None:
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        losses = torch.stack([loss for _, _, loss in unseen])
        if losses.isfinite().all():
            return
        wrong = int((~losses.isfinite()).nonzero()[0])
        step, rows, loss = unseen[wrong]
        raise self._error(f"the loss of step {step + 1} of {steps} is {float(loss)}, on {self._cells(rows)}")

    def _cells(self, rows: np.ndarray) -> str:
        names = self.task.cell_names(rows[:_NAMED])
        named = [f"{row} ({name})" for row, name in zip(rows, names, strict=False)] or rows[:_NAMED]
        more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
        return f"cells {', '.join(map(str, named))}{more}"

    def _error(self, what: str) -> TrainingError:
        bf16 = self.recipe.precision == "bf16"
        advice = [f"a smaller learning rate ({self.task.rates})"]
        advice += [] if self.recipe.clip else ["clip=1.0, which limits the gradient's norm"]
        advice += ["precision=fp32"] if bf16 else []
        return TrainingError(
            f"{self.task.phase} broke down in epoch {self.epoch + 1}: {what}; try {', or '.join(advice)}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that a training needs to go on as if it had never stopped: tensors and plain values.

        To be called between updates. The tensors are those in use: write or copy them before going on.
        """
        device = self.task.device
        return {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": time.perf_counter() - self._started if self.step else 0.0,
            "order": self._ordered_by,
            "within": self.task.within_epoch() if self.step else {},
            "modules": [module.state_dict() for module in self.task.modules],
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": None if self.best is None else self.best.state_dict(),
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "task": self.task.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned, in a loop made of the same task and recipe."""
        self.epoch, self.step, self._within = state["epoch"], state["step"], state["within"]
        self._started = time.perf_counter() - state["seconds"]
        self._ordered_by = state["order"]
        if self.task.order is not None:
            self.task.order.bit_generator.state = state["order"]
        for module, weights in zip(self.task.modules, state["modules"], strict=True):
            module.load_state_dict(self.together.parts_of(weights, module))
        self.optimiser.load_state_dict(state["optimiser"])
        self.together.loaded(self.optimiser)
        self.schedule.load_state_dict(state["schedule"])
        if self.best is not None:
            best = zip(state["best"]["states"], self.task.modules, strict=False)
            parts = [self.together.parts_of(weights, module) for weights, module in best]
            self.best.load_state_dict({**state["best"], "states": parts})
        torch.set_rng_state(state["random"])
        if state["random_gpu"] is not None:
            torch.cuda.set_rng_state(state["random_gpu"], self.task.device)
        self.task.load_state_dict(state["task"])
