import gzip
import hashlib
import io
import json
import tarfile

import pytest
from range_server import serve

from sgm_core.cells.catalog import fetch
from sgm_core.cells.simulate import simulate
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer

TAR = "/geo/series/GSE116nnn/GSE116256/suppl/GSE116256_RAW.tar"
RECORD = "/api/records/5931689"


@pytest.fixture
def server():
    with serve() as running:
        yield running


def _tar(members, kind=tarfile.REGTYPE):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in (("GSM9_LINK-D0.dem.txt.gz", "/etc/passwd"),):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return buffer.getvalue()


def _files(folder):
    """Files, but those by which a process says that it lives."""
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in inside if path.parts[0] != ".owners")


def test_geo_pairs_are_fetched_unpacked_with_care_and_imported(shared, server, sgm_home):
    raw = shared / "data" / "vangalen2019_aml" / "raw"
    pairs = {path.name: path.read_bytes() for path in sorted(raw.glob("*.txt.gz"))}
    extra = {
        "GSM3587924_AML1012-D0.nanopore.txt.gz": gzip.compress(b"x"),
        "GSM3588003_MUTZ3.dem.txt.gz": gzip.compress(b"Gene\n"),
        "../GSM1_EVIL-D0.dem.txt.gz": gzip.compress(b"x"),
        "/tmp/GSM1_EVIL-D0.anno.txt.gz": gzip.compress(b"x"),
    }
    server.files[TAR] = _tar(pairs | extra)
    server.drops = [700_000]  # and the connection is lost once on the way

    observer = Observer()
    messages = []
    observer.message = messages.append
    dataset = fetch("vangalen2019", "aml", server.url, observer)

    (_, first), (_, second) = server.requests
    assert first is None and 600_000 < int(second.removeprefix("bytes=").rstrip("-")) <= 700_000
    assert sorted(dataset.obs["donor"].unique()) == ["AML314", "AML722B", "AML997", "BM1", "BM2"]
    assert set(dataset.obs["timepoint"]) == {"D0", "healthy"}
    assert dataset.cell_type_column == "CellType"
    assert 500 < dataset.n_cells <= 162 + 79 + 83 + 108 + 188
    assert "GSE116256" in dataset.meta["note"] and not dataset.simulated
    assert _files(sgm_home / "downloads") == sorted(f"GSE116256/{name}" for name in pairs)
    assert not (sgm_home / "GSM1_EVIL-D0.dem.txt.gz").exists()
    assert sum(text.startswith("left out") for text in messages) == len(extra) + 1

    # The pairs are kept: another dataset needs no second download.
    server.requests.clear()
    assert fetch("vangalen2019", "again", server.url).content_hash == dataset.content_hash
    assert server.requests == []


def _atlas(tmp_path):
    import anndata

    counts, obs, genes = simulate(n_cells=400, n_genes=300)
    obs = obs.rename(columns={"cell_type": "celltype"}).set_index("cell")
    atlas = anndata.AnnData(
        counts.astype("float32").log1p(), obs=obs, layers={"counts": counts.astype("float32")}
    )
    atlas.var_names = list(genes)
    path = tmp_path / "atlas.h5ad"
    atlas.write_h5ad(path)
    return path.read_bytes()


def _record(server, content, checksum):
    server.files["/files/bone_marrow.h5ad"] = content
    file = {
        "key": "bone_marrow.h5ad",
        "size": len(content),
        "checksum": checksum,
        "links": {"self": f"{server.url}/files/bone_marrow.h5ad"},
    }
    server.files[RECORD] = json.dumps({"id": 5931689, "files": [{"key": "other.rds"}, file]}).encode()


def test_zenodo_file_is_checked_against_its_md5_and_its_counts_layer_imported(server, tmp_path, monkeypatch):
    from sgm_core.cells import catalog

    content = _atlas(tmp_path)
    _record(server, content, f"md5:{hashlib.md5(content).hexdigest()}")
    wide = catalog.import_dataset
    # The simulated panel is small: the atlas's own cells have more than 200 genes.
    monkeypatch.setattr(catalog, "import_dataset", lambda *args, **kw: wide(*args, min_genes=10, **kw))
    dataset = fetch("ennis2023", base_url=server.url)
    assert dataset.name == "ennis2023"
    assert dataset.meta["roles"] == {"donor": "donor", "cell_type": "celltype", "timepoint": "timepoint"}
    assert "counts" in dataset.meta["source"]["counts"]
    assert dataset.counts().data.dtype.kind == "u"


def test_a_damaged_zenodo_file_is_refused(server, sgm_home):
    _record(server, b"not the atlas", "md5:00000000000000000000000000000000")
    with pytest.raises(InputError, match=r"arrived damaged .*deleted: run the same command again"):
        fetch("ennis2023", base_url=server.url)
    assert _files(sgm_home) == []


@pytest.mark.parametrize(
    "record",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"files": []}',
        b'{"files": [{"key": "bone_marrow.h5ad", "checksum": "sha1:1", "links": {"self": "file:///etc/passwd"}}]}',
    ],
)
def test_a_strange_zenodo_record_is_refused(server, record, sgm_home):
    server.files[RECORD] = record
    with pytest.raises(InputError, match=r"api/records/5931689 .*By hand: download bone_marrow.h5ad"):
        fetch("ennis2023", base_url=server.url)
    assert _files(sgm_home) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no tar archive" * 100, "arrived damaged .*deleted"),
        (_tar({"GSM1_AML1-D0.dem.txt.gz": gzip.compress(b"x" * 5000)[:-6]}), "arrived damaged .*deleted"),
        (_tar({"readme.txt": b"hello"}), r"holds no \*\.dem\.txt\.gz"),
    ],
)
def test_a_damaged_archive_leaves_nothing_behind(server, sgm_home, content, message):
    server.files[TAR] = content
    with pytest.raises(InputError, match=message):
        fetch("vangalen2019", base_url=server.url)
    assert _files(sgm_home) == []


@pytest.mark.parametrize(
    ("name", "file", "options"),
    [
        ("vangalen2019", "GSE116256_RAW.tar", "--unlabelled nan"),
        ("ennis2023", "bone_marrow.h5ad", "--cell-type celltype --timepoint timepoint --layer counts"),
    ],
)
def test_without_a_network_the_way_by_hand_is_told(name, file, options, sgm_home):
    with pytest.raises(InputError) as caught:
        fetch(name, base_url="http://127.0.0.1:9")
    text = str(caught.value)
    assert "is there a network?" in text and "\n" not in text
    assert file in text and f"sgm data import PATH --name {name}" in text and options in text
    assert _files(sgm_home) == []


def test_names_are_checked_before_anything_is_downloaded(server, demo_dataset):
    with pytest.raises(NotFoundError, match="take one of vangalen2019, ennis2023"):
        fetch("pbmc3k", base_url=server.url)
    with pytest.raises(InputError, match="can't be used"):
        fetch("ennis2023", "../x", server.url)
    with pytest.raises(InputError, match="exists already"):
        fetch("ennis2023", demo_dataset.name, server.url)
    assert server.requests == []
