"""Find runs by what they are called, what was said about them, and their state."""

from collections.abc import Collection, Iterable

from sgm_core.runs.labels import labels_of
from sgm_core.runs.run import Run


def find_runs(
    runs: Iterable[Run],
    text: str = "",
    tags: Collection[str] = (),
    states: Collection[str] = (),
) -> list[Run]:
    """Return the runs that fit, in their order.

    Parameters
    ----------
    runs
        Those to look among.
    text
        Words that must all be in the title, ID, dataset, kind, tags or note; capitals count alike.
    tags
        The run must have each.
    states
        The run must be in one of them; none = any.
    """
    words = text.casefold().split()
    return [run for run in runs if (not states or run.state in states) and _fits(run, words, tags)]


def tags_of(runs: Iterable[Run]) -> list[str]:
    """Return the tags of all runs, the most frequent first."""
    counts: dict[str, int] = {}
    for run in runs:
        for tag in labels_of(run).tags:
            counts[tag] = counts.get(tag, 0) + 1
    return sorted(counts, key=lambda tag: (-counts[tag], tag.casefold()))


def _fits(run: Run, words: list[str], tags: Collection[str]) -> bool:
    if not words and not tags:
        return True
    labels = labels_of(run)
    if not set(tags) <= set(labels.tags):
        return False
    said = " ".join([run.title, run.id, run.dataset_name, run.kind, *labels.tags, labels.note]).casefold()
    return all(word in said for word in words)
