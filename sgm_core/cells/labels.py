"""The columns of cells that have a role: donor, cell type, timepoint."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sgm_core.cells.read.source import CountSource
from sgm_core.errors import InputError
from sgm_core.spreadsheet import restored

_MISSING = ("", "nan", "none", "na", "n/a", "<na>", "null")
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
    obs: pd.DataFrame, roles: dict[str, str | None], unlabelled: Iterable[str], file_name: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Check names, donors and labels of all cells; return the table with missing labels as None.

    Parameters
    ----------
    obs
        The cells, as text (`sgm_core.cells.write.plain_table`).
    roles
        From `check_roles`.
    unlabelled
        Label values that mean 'no label'; 'nan' stands for cells without a value.
    file_name
        For messages.

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
    donor, cell_type = obs[roles["donor"]], obs[roles["cell_type"]]
    if donor.isna().any():
        raise InputError(
            f"{int(donor.isna().sum()):,} of {len(obs):,} cells of {file_name} have no donor in column "
            f"{roles['donor']!r}: fill them in or remove these cells"
        )
    declared = tuple(dict.fromkeys(str(value) for value in unlabelled))
    missing = int(cell_type.isna().sum())
    if missing and not any(value.strip().lower() in _MISSING for value in declared):
        raise InputError(
            f"{missing:,} of {len(obs):,} cells of {file_name} have no value in column "
            f"{roles['cell_type']!r}: declare that with --unlabelled nan, or fill them in"
        )
    levels = sorted(cell_type.dropna().unique())
    for value in declared:
        if value not in levels and value.strip().lower() not in _MISSING:
            raise InputError(
                f"--unlabelled {value!r} is no value of column {roles['cell_type']!r}, whose values are "
                f"{', '.join(levels[:_SHOWN])}"
            )
    return obs, declared


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


def read_cells(path: Path) -> pd.DataFrame:
    """Read a table of cells (CSV, TSV, .gz, parquet); column ``cell``, or the first one, is the index."""
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    else:
        table = pd.read_csv(path, sep=None, engine="python", keep_default_na=True)
    table = restored(table)
    column = "cell" if "cell" in table else table.columns[0]
    table = table.rename(columns={column: "cell"})
    if table["cell"].duplicated().any():
        raise InputError(f"cell names repeat in column {column!r} of {path.name}: make them unique")
    return table.set_index(table.pop("cell").astype(str))


def add_cells(obs: pd.DataFrame, path: Path, file_name: str) -> pd.DataFrame:
    """Join the table of cells `path` to `obs` by cell name.

    Raises
    ------
    InputError
        If no name matches.
    """
    table = read_cells(path)
    found = obs["cell"].isin(table.index)
    if not found.any():
        raise InputError(
            f"no cell name of {path.name} (such as {table.index[0]!r}) is in {file_name} "
            f"(such as {obs['cell'].iloc[0]!r})"
        )
    columns = table.columns.difference(obs.columns, sort=False)
    return obs.join(table[columns], on="cell")


def _is_missing(values: pd.Series) -> pd.Series:
    return values.isna() | values.astype(str).str.strip().str.lower().isin(_MISSING)
