"""A small corpus in memory, its tokens, and a small configuration, for all tests of training."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from quire.documents.document import Document
from quire.settings import build, merge
from quire.tokens.dataset import TokenDataset
from quire.tokens.settings import TokenSettings
from quire.tokens.shards import prepare
from quire.training.config import RunConfig

SUBJECTS = ("the printer", "a binder", "my neighbour", "the old clerk", "a reader", "the author")
VERBS = ("folds", "sews", "prints", "reads", "counts", "orders")
THINGS = ("four sheets", "the pages", "a long letter", "every quire", "some paper", "the margins")


@dataclass(frozen=True)
class Numbered:
    id: int
    document: Document


class TextsInMemory:
    """Documents as `prepare` takes them."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.num_documents = len(texts)
        self.num_bytes = sum(len(text.encode()) for text in texts)
        self.fingerprint = f"{hash(tuple(texts)):x}"

    def documents(self) -> Iterator[Numbered]:
        for number in range(self.num_documents):
            yield Numbered(number, self.document(number))

    def document(self, id: int) -> Document:
        return Document(self.texts[id], f"{id}.txt", "text/plain", f"{id:064x}")


def sentences(seed: int, count: int) -> str:
    draw = random.Random(seed)
    return "".join(
        f"{draw.choice(SUBJECTS).capitalize()} {draw.choice(VERBS)} {draw.choice(THINGS)}"
        f"{draw.choice((' today', ' again', ''))}, {draw.randrange(1000)} times.\n"
        for _ in range(count)
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> TokenDataset:
    texts = TextsInMemory([sentences(seed, 60) for seed in range(12)])
    return prepare(texts, tmp_path_factory.mktemp("tokens"), TokenSettings(vocab_size=300))


@pytest.fixture
def config(data: TokenDataset) -> Callable[..., RunConfig]:
    """Return a function that makes a small configuration with values laid over it."""

    def make(**over: dict[str, Any]) -> RunConfig:
        values = {
            "tokens": {"vocab_size": 300},
            "model": {
                "vocab_size": data.tokenizer.vocab_size,
                "hidden_size": 32,
                "num_layers": 2,
                "num_heads": 2,
                "num_kv_heads": 1,
                "context_length": 32,
                "dropout": 0.1,
            },
            "optimizer": {},
            "schedule": {"warmup_steps": 3},
            "training": {
                "minutes": None,
                "steps": 12,
                "batch_size": 6,
                "micro_batch_size": 4,
                "evaluation_interval": 5,
                "checkpoint_interval": 4,
                "log_interval": 2,
                "sample_tokens": 8,
            },
        }
        return build(RunConfig, merge(values, over))

    return make


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's cache folder that is a test's own, so that none leaves records of its small models behind."""
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    yield place
    os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)  # quire or torch has set it; monkeypatch restores what was before


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture(scope="session")
def data_folder(data: TokenDataset) -> Path:
    """The folder that `data` lies in."""
    return data.path
