"""HDF5 files can point at other files; those that bring counts have no need to."""

from pathlib import Path

import h5py

from sgm_core.errors import InputError


def refuse_links(path: Path, file: h5py.File) -> None:
    """Refuse a file whose content would come from other files of this machine.

    An external link, a virtual dataset or an external storage names any file that this machine can read, and
    a reader would bring its bytes in as names of cells. Nothing is followed to find that out.

    Raises
    ------
    InputError
        If it has one; the message names where, not what it points at.
    """

    def link(name: str, found: object) -> str | None:
        if isinstance(found, h5py.ExternalLink):
            return name
        if isinstance(found, h5py.SoftLink):
            return None
        item = file.get(name)
        outside = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
        return name if outside else None

    where = file.visititems_links(link)
    if where is not None:
        raise InputError(
            f"{path.name} takes {where} from another file: write it again with its content in the file itself"
        )
