import hashlib
from collections import namedtuple

import numpy as np
import pytest
from range_server import serve

from sgm_core.errors import Cancelled, InputError
from sgm_core.progress import Observer
from sgm_core.resources import download as module
from sgm_core.resources.download import download

CONTENT = np.random.default_rng(0).bytes(3_000_000)
BLOCK = module._BLOCK
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serve() as running:
        running.files["/big.bin"] = CONTENT
        yield running


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "big.bin"


def get(server, target, observer=None, **options):
    return download(f"{server.url}/big.bin", target, observer or Observer(), pause=0, **options)


class Recorder(Observer):
    def __init__(self):
        self.seen, self.messages = [], []

    def progress(self, done, total, what=""):
        self.seen.append((done, total, what))

    def message(self, text):
        self.messages.append(text)


def test_a_file_arrives_whole_with_its_progress(server, target):
    observer = Recorder()
    assert get(server, target, observer, md5=MD5).read_bytes() == CONTENT
    arriving = [seen for seen in observer.seen if "downloading big.bin" in seen[2]]
    assert arriving[-1][:2] == (len(CONTENT), len(CONTENT))
    assert [done for done, _, _ in arriving] == sorted(done for done, _, _ in arriving)
    assert list(target.parent.iterdir()) == [target]


def test_what_is_there_is_not_asked_for_again_unless_it_is_damaged(server, target):
    get(server, target, md5=MD5)
    get(server, target, md5=MD5)
    assert len(server.requests) == 1
    target.write_bytes(b"damaged")
    assert get(server, target, md5=MD5).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_dropped_connection_is_taken_up_at_once(server, target):
    server.drops = [16 * BLOCK, 8 * BLOCK + 5]
    observer = Recorder()
    assert get(server, target, observer, md5=MD5).read_bytes() == CONTENT
    assert [start for _, start in server.requests] == [None, f"bytes={16 * BLOCK}-", f"bytes={24 * BLOCK}-"]
    assert observer.messages == [
        "the connection dropped at 1.0 MB; taking it up again",
        "the connection dropped at 1.6 MB; taking it up again",
    ]


def test_a_later_call_goes_on_where_the_last_was_cut_off(server, target):
    server.drops = [6 * BLOCK] * 4
    with pytest.raises(InputError, match=r"cut off at 1\.6 MB.*goes on from there"):
        get(server, target)
    assert not target.exists()
    assert target.with_name("big.bin.part").read_bytes() == CONTENT[: 24 * BLOCK]
    server.requests.clear()
    assert get(server, target).read_bytes() == CONTENT
    assert server.requests == [("/big.bin", f"bytes={24 * BLOCK}-")]


def test_a_part_that_is_whole_needs_no_more_bytes(server, target):
    server.drops = [6 * BLOCK] * 4
    with pytest.raises(InputError, match="cut off"):
        get(server, target)
    target.with_name("big.bin.part").write_bytes(CONTENT)
    assert get(server, target, md5=MD5).read_bytes() == CONTENT
    assert server.requests[-1] == ("/big.bin", f"bytes={len(CONTENT)}-")


def test_another_version_of_the_file_is_never_spliced(server, target):
    server.drops = [400_000] * 4
    with pytest.raises(InputError, match="cut off"):
        get(server, target)
    other = CONTENT[::-1]
    server.files["/big.bin"], server.etags["/big.bin"] = other, '"two"'
    assert get(server, target).read_bytes() == other


def test_stopping_keeps_what_has_arrived(server, target):
    class Stop(Observer):
        def progress(self, done, total, what=""):
            self.arrived = done

        def check(self):
            if getattr(self, "arrived", 0):
                raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        get(server, target, Stop())
    part = target.with_name("big.bin.part")
    assert 0 < part.stat().st_size < len(CONTENT)
    assert get(server, target, md5=MD5).read_bytes() == CONTENT
    assert server.requests[-1][1] is not None


def test_a_wrong_checksum_is_refused_and_nothing_kept(server, target):
    with pytest.raises(InputError, match=f"arrived damaged .md5 {MD5}, its source says 0000.*deleted"):
        get(server, target, md5="0000")
    assert list(target.parent.iterdir()) == []


def test_an_absent_file_and_an_absent_server(server, target):
    with pytest.raises(InputError, match="answered 404"):
        download(f"{server.url}/absent", target, Observer(), pause=0)
    with pytest.raises(InputError, match=r"can't reach 127\.0\.0\.1:9 .*network\? By hand: do this"):
        download("http://127.0.0.1:9/x", target, Observer(), by_hand="By hand: do this", pause=0)
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_is_seen_before_the_download(server, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(10, 10, 1000))
    with pytest.raises(InputError, match=r"no space left for big.bin \(3\.0 MB\).*SGM_HOME"):
        get(server, target)
    assert not target.exists()
