"""Twenty people look at one dashboard at once: how long a switch of pages takes, and what a session holds.

``python benchmarks/viewers.py [--home HOME] [--viewers 20] [--rounds 3]`` serves a copy of a home folder that
holds a dataset and a finished run (``make app`` makes one), as ``sgm app`` does, and lets each viewer walk
through all pages in an order of its own over a real WebSocket, as a browser's session does (`viewer.py`);
no browser draws what comes. Between two pages a viewer looks at one for ``--look`` seconds. Printed are

* the seconds from the wish for a page until its script has ended: median, 95th percentile, by page;
* the memory of the server (unique set size) before and with all sessions, and after they have closed;
* that each viewer got its own selection and its own name, and never another's.

Goals on two cores: median 1 s, 95th percentile 3 s, 25 MB a session beside what all share.
"""

import argparse
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from measured import served
from viewer import Viewer, login_cookie

ROOT = Path(__file__).resolve().parents[1]
_GONE_S = 5
"""Seconds that the server keeps a session whose browser has gone; by default it is two minutes."""
SECRET = "a-secret-of-this-benchmark-0123456789abcdef"
_PAGES = (
    "", "datasets", "new_run", "runs", "compare", "cells", "masked_genes", "enrichment", "review", "annotate",
    "report",
)  # fmt: skip


def own_home(home: Path, folder: Path) -> Path:
    """Return a copy of a home folder with a login, so that each viewer is somebody else."""
    copy = folder / "home"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns(".*", "uploads", "exports", "config.toml"))
    (copy / "config.toml").write_text('[access]\nviewers = ["@viewers.test"]\n')
    secrets = copy / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.touch(mode=0o600)
    secrets.write_text(
        f'[auth]\nredirect_uri = "http://localhost/oauth2callback"\ncookie_secret = "{SECRET}"\n'
    )
    return copy


def memory(pid: int) -> float:
    """Return what the server alone holds, in MB."""
    return psutil.Process(pid).memory_full_info().uss / 1e6


class Person:
    """One viewer, who walks through the pages in an order of its own."""

    def __init__(self, number: int, url: str, links: list[str], look: float, rounds: int) -> None:
        self.number, self.name = number, f"Person{number:02d}"
        self.url, self.links, self.look, self.rounds = url, links, look, rounds
        self.seconds: list[tuple[str, float]] = []
        self.problems: list[str] = []
        self.viewer: Viewer | None = None

    def arrive(self) -> None:
        """Log in and open the start page."""
        origin = self.url.rstrip("/")
        cookie = login_cookie(SECRET, origin, f"{self.name}@viewers.test", self.name)
        self.viewer = Viewer(self.url, self.links[self.number % len(self.links)], cookie)
        self._check(self.viewer.first.text, "")

    def walk(self) -> None:
        """Open every page, several times."""
        assert self.viewer is not None
        draw = random.Random(self.number)
        for _ in range(self.rounds):
            pages = list(_PAGES)
            draw.shuffle(pages)
            for page in pages:
                time.sleep(self.look * draw.uniform(0.5, 1.5))
                drawn = self.viewer.open(page)
                self.seconds.append((page or "home", drawn.seconds))
                self._check(drawn.text, page)

    def _check(self, text: str, page: str) -> None:
        if f"{self.name} (" not in text:
            self.problems.append(f"{self.name}: the page {page or 'home'} does not name its viewer")
        if any(f"Person{other:02d}" in text for other in range(100) if other != self.number):
            self.problems.append(f"{self.name}: the page {page or 'home'} names another viewer")
        mine = self.links[self.number % len(self.links)]
        dataset = mine.partition("dataset=")[2].partition("&")[0]
        if dataset not in text:
            self.problems.append(f"{self.name}: the page {page or 'home'} lost the dataset {dataset}")
        if "could not be drawn" in text:
            self.problems.append(f"{self.name}: the page {page or 'home'} could not be drawn")


def leave(people: list[Person]) -> None:
    """Close the sessions of everybody."""
    for person in people:
        if person.viewer is not None:
            person.viewer.close()


def all_at_once(people: list[Person], act: str) -> float:
    """Let everybody do something at once; returns the seconds until all are done."""
    began = time.perf_counter()
    threads = [threading.Thread(target=getattr(person, act)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("SGM_HOME") or "workspace"))
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--look", type=float, default=5.0, metavar="SECONDS")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = own_home(args.home, Path(folder))
        names = sorted(path.parent.name for path in (home / "datasets").glob("[!.]*/dataset.json"))
        links = [f"dataset={name}" for name in names]
        secrets = f"--secrets.files={home / '.streamlit' / 'secrets.toml'}"
        gone = f"--server.disconnectedSessionTTL={_GONE_S}"
        with served("serve.py", secrets, gone, SGM_HOME=str(home)) as (url, pid):
            report(url, pid, links, args)


def report(url: str, pid: int, links: list[str], args: argparse.Namespace) -> None:
    """Measure, and print what was found."""
    cold = []
    for number in range(len(links)):  # what all share is read once, by whoever comes first
        first = Person(number, url, links, 0.0, 1)
        first.arrive()
        first.walk()
        leave([first])
        cold += first.seconds
    time.sleep(_GONE_S + 3)
    load, before = os.getloadavg()[0], memory(pid)
    people = [Person(number, url, links, args.look, args.rounds) for number in range(args.viewers)]
    arrived = all_at_once(people, "arrive")
    cpu = sum(psutil.Process(pid).cpu_times()[:2])
    walked = all_at_once(people, "walk")
    cpu = sum(psutil.Process(pid).cpu_times()[:2]) - cpu
    during = memory(pid)
    leave(people)
    time.sleep(_GONE_S + 10)
    after = memory(pid)
    seconds = [took for person in people for _, took in person.seconds]
    median, high = np.percentile(seconds, [50, 95])
    print(
        f"load of the machine before: {load:.1f}; during: {os.getloadavg()[0]:.1f}; cores: {os.cpu_count()}"
    )
    print(
        f"{args.viewers} viewers over {len(links)} datasets, {len(seconds)} switches, {args.look:g} s a page"
    )
    page, took = max(cold, key=lambda pair: pair[1])
    print(f"first visitors, one at a time: slowest page {page}, {took:.2f} s")
    print(f"all arrived within {arrived:.1f} s; walked {walked:.0f} s, {cpu:.0f} s of processor time")
    print(f"switch: median {median:.2f} s, 95th percentile {high:.2f} s, slowest {max(seconds):.2f} s")
    by_page: dict[str, list[float]] = {}
    for person in people:
        for page, took in person.seconds:
            by_page.setdefault(page, []).append(took)
    print("page | median s | 95th percentile s")
    for page, took in sorted(by_page.items(), key=lambda pair: -statistics.median(pair[1])):
        print(f"{page} | {statistics.median(took):.2f} | {np.percentile(took, 95):.2f}")
    print(
        f"memory: {before:.0f} MB before, {during:.0f} MB with {args.viewers} sessions, {after:.0f} MB when "
        f"they were gone: {(during - before) / args.viewers:.1f} MB a session"
    )
    problems = [problem for person in people for problem in person.problems]
    print(f"own name and own dataset on every page: {'yes' if not problems else 'NO'}")
    print("\n".join(problems[:10]))


if __name__ == "__main__":
    main()
