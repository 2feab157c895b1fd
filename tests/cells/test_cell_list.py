from pathlib import Path

import numpy as np
import pytest

from sgm_core.cells.cell_list import read_cells
from sgm_core.errors import InputError, NotFoundError


def test_cells_come_as_names_row_numbers_or_yes_and_no(demo_dataset, tmp_path: Path) -> None:
    rows, names = [2, 5, 40], demo_dataset.obs["cell"].to_numpy(str)
    named = [names[40], names[2], names[5], names[2]]
    yes = np.zeros(demo_dataset.n_cells, bool)
    yes[rows] = True
    texts = {
        "lines.txt": "\n".join(named),
        "header.csv": "cell\n" + "\n".join(f'"{name}"' for name in named) + "\n",
        "table.csv": "type,barcode\n" + "".join(f"HSC,{name}\n" for name in named),
        "first.tsv": "".join(f"{name}\tHSC\n" for name in named),
        "rows.txt": "40\n2\n5\n",
        "rows.csv": "row,x\n40,1.5\n2,1.5\n5,0.5\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    np.save(tmp_path / "rows.npy", np.array(rows[::-1]))
    np.save(tmp_path / "names.npy", np.array(named))
    np.save(tmp_path / "yes.npy", yes)
    for name in (*texts, "rows.npy", "names.npy", "yes.npy"):
        found = read_cells(demo_dataset, tmp_path / name)
        assert found.tolist() == rows and found.dtype == np.int64, name


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("none.txt", "\n", "none.txt lists no cells"),
        ("far.txt", "1\n2\n600000\n", "1 of 3 entries are neither names .* such as '600000'"),
        ("half.txt", "1\n2.5\n", "such as '2.5'"),
        ("other.csv", "cell\nAAA\nBBB\n", "2 of 2 entries .* such as 'AAA'"),
        ("two.npy", np.zeros((2, 2), int), "one list of row numbers"),
        ("short.npy", np.ones(3, bool), "yes or no for 3 cells"),
        ("negative.npy", np.array([-1, 3]), "such as '-1'"),
    ],
)
def test_what_lists_no_cells_of_the_dataset(
    demo_dataset, tmp_path: Path, file: str, content: str | np.ndarray, reason: str
) -> None:
    if isinstance(content, str):
        (tmp_path / file).write_text(content)
    else:
        np.save(tmp_path / file, content)
    with pytest.raises(InputError, match=reason):
        read_cells(demo_dataset, tmp_path / file)


def test_no_such_list(demo_dataset, tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("1\n2\n")
    with pytest.raises(NotFoundError, match=r"no file .*absent"):
        read_cells(demo_dataset, tmp_path / "absent")
    with pytest.raises(InputError, match=r"text.npy is no .npy file"):
        read_cells(demo_dataset, tmp_path / "text.npy")
