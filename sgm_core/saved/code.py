"""Which code decides the numbers of a training or a comparison."""

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

import sgm_core

_DECIDES = (
    *(f"cells/{name}.py" for name in ("balance", "compressed", "dataset", "facts", "split", "vocabulary")),
    *("analysis/pca.py", "model/**/*.py", "training/**/*.py", "world.py"),
)
_COMPARISON = ("arms.py", "baselines.py", "tasks.py")


@lru_cache(maxsize=1)
def deciding_code() -> str:
    """Return a hash of the code that scores and masks depend on; comments and docstrings do not count."""
    root = Path(sgm_core.__file__).parent
    files = [path for pattern in _DECIDES for path in root.glob(pattern)]
    files += [root / "comparison" / name for name in _COMPARISON]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(_without_words(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def _without_words(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # a bare string is a docstring, of the module, of a function or of a constant
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
