"""The meaning of duties, by a small static embedding. It needs the extra `seawall[lint]`.

The vectors are those of the package `wordllama` (MIT licence): 32,000 pieces of words with 256 numbers each, which are in its
wheel. The two files are read directly, without importing the package, and nothing is ever downloaded. A text's vector is the
mean of its pieces' vectors, so the order of words makes no difference. The embedding knows English best.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

PACKAGE = "wordllama"
WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
TEAM_SHARE = 0.7
"""The share of the team's mean that is subtracted from each vector, so that the team's subject counts for little."""
LONGEST_TEXT_CHARS = 1000
"""Characters of a duty that are read."""


class Meaning:
    """The embedding, loaded."""

    def __init__(self, tokenizer: Any, weights: Vectors) -> None:
        self._tokenizer = tokenizer
        self._weights = weights

    def place(self, texts: Sequence[Sequence[str]]) -> MeaningSpace:
        """Returns the vectors of the duties of a team's agents."""
        import numpy as np

        duties = [[self._embed(text) for text in of_agent or ("",)] for of_agent in texts]
        every: Vectors = np.array([vector for of_agent in duties for vector in of_agent], np.float32)
        centre = TEAM_SHARE * every.mean(axis=0) if duties else np.zeros(1, np.float32)
        return MeaningSpace([_norm(np.array(of_agent, np.float32) - centre) for of_agent in duties])

    def _embed(self, text: str) -> Vectors:
        import numpy as np

        ids: list[int] = self._tokenizer.encode(text[:LONGEST_TEXT_CHARS], add_special_tokens=False).ids
        if not ids:
            return np.zeros(int(self._weights.shape[1]), np.float32)
        pieces: Vectors = self._weights[ids].astype(np.float32)
        mean: Vectors = pieces.mean(axis=0, keepdims=True)
        return _norm(mean).reshape(-1)


class MeaningSpace:
    """The duties of a team, each as a vector of length 1."""

    def __init__(self, rows: Sequence[Vectors]) -> None:
        self._rows = rows

    def find_closest(self, first: int, second: int) -> tuple[float, int, int]:
        """Returns the cosine of the two closest duties of two agents, and the indices of these duties."""
        cosines = self._rows[first] @ self._rows[second].T
        at, other = divmod(int(cosines.argmax()), cosines.shape[1])
        return float(cosines[at, other]), at, other


def _norm(rows: Vectors) -> Vectors:
    import numpy as np

    return rows / np.maximum(np.sqrt(np.square(rows).sum(axis=-1, keepdims=True)), 1e-9).astype(np.float32)


@lru_cache(maxsize=1)
def load_meaning() -> Meaning | None:
    """Returns the embedding; None if the extra `seawall[lint]` is not installed."""
    if any(
        importlib.util.find_spec(name) is None for name in (PACKAGE, "numpy", "safetensors", "tokenizers")
    ):
        return None
    spec = importlib.util.find_spec(PACKAGE)
    folder = Path(next(iter(spec.submodule_search_locations or ()), "")) if spec else Path()
    if not ((folder / WEIGHTS).is_file() and (folder / TOKENIZER).is_file()):
        return None
    from safetensors.numpy import (
        load_file,  # pyright: ignore[reportUnknownVariableType] - its PathLike has no parameter
    )
    from tokenizers import Tokenizer

    (weights,) = load_file(str(folder / WEIGHTS)).values()
    return Meaning(Tokenizer.from_file(str(folder / TOKENIZER)), weights)
