"""An HDF5 file brings its own content, never that of other files of this machine."""

import h5py
import numpy as np
import pytest

from sgm_core.cells.read import open_source
from sgm_core.errors import InputError


def external_link(file, secret) -> None:
    file["obs/donor"] = h5py.ExternalLink(str(secret), "/x")


def external_storage(file, secret) -> None:
    file.create_dataset("obs/donor", (20,), "S1", external=[(str(secret), 0, 20)])


def virtual(file, secret) -> None:
    layout = h5py.VirtualLayout((20,), "S1")
    layout[:] = h5py.VirtualSource(str(secret), "x", (20,))
    file.create_virtual_dataset("obs/donor", layout)


@pytest.mark.parametrize("way", [external_link, external_storage, virtual])
@pytest.mark.parametrize("name", ["mine.h5ad", "mine.loom", "mine.h5"])
def test_content_of_other_files_is_refused_and_not_told(tmp_path, way, name):
    secret = tmp_path / "passwd"
    secret.write_text("root:x:0:0:root:/root:/bin/bash")
    path = tmp_path / name
    with h5py.File(path, "w") as file:
        file["X"] = np.ones((20, 3))
        way(file, secret)
    with pytest.raises(InputError, match="takes obs/donor from another file") as refused:
        open_source(path, tmp_path)
    assert "root" not in str(refused.value)
