"""The columns of cells that have a role: donor, cell type, timepoint."""

from collections.abc import Iterable

import pandas as pd

from sgm_core.cells.columns import MISSING, as_text, differing_in_case, name_some, tidy
from sgm_core.cells.read.source import CountSource
from sgm_core.errors import InputError

_SHOWN = 30


def check_roles(
    source: CountSource, donor: str | None, cell_type: str | None, timepoint: str | None
) -> dict[str, str | None]:
    """Return the column of each role: the one asked for, else what the format provides.

    Raises
    ------
    InputError
        If a column is not there, or donor or cell type are not named; the message lists the columns.
    """
    roles = {
        "donor": donor or source.donor,
        "cell_type": cell_type or source.cell_type,
        "timepoint": timepoint or source.timepoint,
    }
    columns = [str(column) for column in source.obs.columns if column != "cell"]
    there = ", ".join(columns[:_SHOWN]) + (" ..." if len(columns) > _SHOWN else "")
    advice = (
        f"its columns are {there}" if columns else "it has none: give a table of cells with --cells TABLE.csv"
    )
    for role, column in roles.items():
        option = "--" + role.replace("_", "-")
        if column is None and role != "timepoint":
            raise InputError(f"say which column of {source.path.name} is the {role}, with {option}; {advice}")
        if column is not None and column not in columns:
            raise InputError(f"{source.path.name} has no column {column!r} for {option}; {advice}")
    if roles["donor"] == roles["cell_type"]:
        raise InputError(f"donor and cell type are both column {roles['donor']!r}: name two columns")
    return roles


def check_cells(
    obs: pd.DataFrame,
    roles: dict[str, str | None],
    unlabelled: Iterable[str],
    file_name: str,
    notes: list[str] | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Check names, donors and labels of all cells; return the table with missing labels as None.

    Parameters
    ----------
    obs
        The cells, as text (`sgm_core.cells.write.plain_table`).
    roles
        From `check_roles`.
    unlabelled
        Label values that mean 'no label'; 'nan' stands for cells without a value. ``COLUMN=VALUE`` declares
        one of another label column.
    file_name
        For messages.
    notes
        Is told what a user should look at: donors or classes that differ in case only, classes that are
        numbers.

    Returns
    -------
    obs
        The table.
    unlabelled
        The declared values, each once.

    Raises
    ------
    InputError
        If cell names repeat, a donor is missing, or labels are missing without being declared.
    """
    repeated = obs["cell"][obs["cell"].duplicated()]
    if len(repeated):
        raise InputError(
            f"{len(repeated):,} cell names of {file_name} occur more than once (such as "
            f"{repeated.iloc[0]!r}): make them unique, for example by putting the sample's name in front"
        )
    obs = obs.copy()
    for column in filter(None, roles.values()):
        obs[column] = obs[column].where(~_is_missing(obs[column]), None)
    cell_type = obs[roles["cell_type"]]
    donor = obs[roles["donor"]] if roles["donor"] else None
    if donor is not None and donor.isna().any():
        raise InputError(
            f"{int(donor.isna().sum()):,} of {len(obs):,} cells of {file_name} have no donor in column "
            f"{roles['donor']!r}: fill them in or remove these cells"
        )
    declared = tuple(dict.fromkeys(tidy(value) for value in unlabelled))
    missing = int(cell_type.isna().sum())
    if missing and not any(value.lower() in MISSING for value in declared):
        raise InputError(
            f"{missing:,} of {len(obs):,} cells of {file_name} have no value in column "
            f"{roles['cell_type']!r}: declare that with --unlabelled nan, or fill them in"
        )
    levels = sorted(cell_type.dropna().unique())
    for value in declared:
        if value not in levels and value.lower() not in MISSING:
            _check_declared(obs, value, str(roles["cell_type"]), levels)
    if notes is not None:
        for column in filter(None, roles.values()):
            notes += [
                f"{first!r} and {second!r} of column {column!r} differ in case only and are kept apart"
                for first, second in differing_in_case(obs[column])[:_SHOWN]
            ]
        notes += _numbered(obs, roles)
    return obs, declared


def _numbered(obs: pd.DataFrame, roles: dict[str, str | None]) -> list[str]:
    """Say which columns may hold the codes of a factor whose names got lost.

    Classes that are numbers are suspicious, donors and timepoints only where they are 0, 1, 2, ...
    """
    found, shown = [], ""
    for role, column in roles.items():
        levels = sorted(obs[column].dropna().unique()) if column else []
        codes = set(levels) == {str(number) for number in range(len(levels))}
        if levels and (codes or (role == "cell_type" and all(x.lstrip("-").isdigit() for x in levels))):
            found.append(repr(column))
            shown = shown or name_some(levels)
    if not found:
        return []
    return [
        f"column {', '.join(found)} holds numbers only ({shown}): if these are codes whose names the file "
        "lost, name the column that has them, or give a table with the names (--cells)"
    ]


def check_enough(
    obs: pd.DataFrame, roles: dict[str, str | None], unlabelled: Iterable[str], file_name: str
) -> None:
    """Refuse cells of one donor or of one class only.

    Raises
    ------
    InputError
        What is missing, and why it matters.
    """
    donors = obs[roles["donor"]].unique()
    if len(donors) < 2:
        raise InputError(
            f"{file_name} has one donor only ({donors[0]}) in column {roles['donor']!r}: donors are never "
            "split between training and test, so at least two are needed"
        )
    labels = obs[roles["cell_type"]].dropna()
    classes = labels[~labels.isin(list(unlabelled))].unique()
    if len(classes) < 2:
        what = f"one class only ({classes[0]})" if len(classes) else "no labelled cell"
        raise InputError(
            f"{file_name} has {what} in column {roles['cell_type']!r}: "
            "a classifier needs at least two classes"
        )


def _is_missing(values: pd.Series) -> pd.Series:
    return values.isna() | values.astype(str).str.strip().str.lower().isin(MISSING)


def split_declared(
    unlabelled: Iterable[str], obs: pd.DataFrame, cell_type: str
) -> tuple[list[str], dict[str, list[str]]]:
    """Split declared values into those of all labels, and those of one column (``COLUMN=VALUE``).

    A value that the cell types have is one of theirs, whatever it looks like.
    """
    levels = set(obs[cell_type].dropna())
    plain: list[str] = []
    others: dict[str, list[str]] = {}
    for value in unlabelled:
        named = None if value in levels else _of_column(value, map(str, obs.columns))
        if named:
            others.setdefault(named[0], []).append(named[1])
        else:
            plain.append(value)
    return plain, others


def _of_column(value: str, columns: Iterable[str]) -> tuple[str, str] | None:
    """Split a declared ``COLUMN=VALUE`` into its parts if there is such a column, else return None."""
    for column in columns:
        if value.startswith(f"{column}="):
            return column, tidy(value.removeprefix(f"{column}="))
    return None


def _check_declared(obs: pd.DataFrame, value: str, cell_type: str, levels: list[str]) -> None:
    """Refuse a declared value that no label has."""
    if named := _of_column(value, map(str, obs.columns)):
        column, value = named
        found = as_text(obs[column])
        if value.lower() in MISSING or value in set(found):
            return
        shown = ", ".join(sorted(found.dropna().unique())[:_SHOWN])
        raise InputError(
            f"--unlabelled {column}={value}: {value!r} is no value of that column, which has {shown}"
        )
    others = [c for c in obs.columns if c != "cell" and obs[c].dtype == object and (obs[c] == value).any()]
    advice = f"; column {others[0]!r} has it: declare {others[0]}={value} there" if others else ""
    raise InputError(
        f"--unlabelled {value!r} is no value of column {cell_type!r}, whose values are "
        f"{', '.join(levels[:_SHOWN])}{advice}"
    )
