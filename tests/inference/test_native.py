"""Compiled steps: the sums of PyTorch, in one order, whatever is computed beside them."""

import gc
import os
import platform
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.inference.executors import TorchExecutor
from quire.inference.language import why_not_native
from quire.inference.native import instructions
from quire.inference.native.forward import ASLEEP, NativeModel
from quire.inference.sequence import Batch
from quire.model.config import ModelConfig
from quire.model.quantization import load_weights
from quire.model.transformer import Transformer

SHAPES: list[dict[str, Any]] = [
    {"vocab_size": 100, "hidden_size": 48, "num_heads": 4, "num_kv_heads": 2, "head_dim": 12, "intermediate_size": 80},
    {"vocab_size": 97, "hidden_size": 96, "num_heads": 6, "num_kv_heads": 1, "head_dim": 16, "qk_norm": False},
    {"vocab_size": 64, "hidden_size": 20, "num_heads": 1, "intermediate_size": 30},
    {"vocab_size": 33, "hidden_size": 64, "num_heads": 7, "num_kv_heads": 1, "head_dim": 64, "tie_embeddings": False},
]
GROUPED = {"hidden_size": 64, "num_heads": 4, "num_kv_heads": 2, "head_dim": 32, "intermediate_size": 160}
CONTEXT = 70


def make(shape: dict[str, Any], seed: int = 0) -> Transformer:
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(ModelConfig.model_validate({"num_layers": 2, "context_length": CONTEXT} | shape)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
            else:
                parameter.normal_(std=parameter.shape[1] ** -0.5, generator=generator)
    return model


def native(model: Transformer, threads: int = 1, half: bool = False) -> NativeModel:
    return NativeModel(model, blocks=12, tokens=128, rows=8, threads=threads, half=half)


def texts(model: Transformer, rows: int, seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, model.config.vocab_size, (rows, CONTEXT), generator=generator).tolist()


def whole(model: NativeModel, tokens: list[int], table: list[int]) -> np.ndarray:
    """Return the logits of all tokens, read at once."""
    count = len(tokens)
    return model.step(tokens, range(count), [0] * count, [table], range(count)).copy()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_are_those_of_pytorch_on_any_number_of_threads(shape: dict[str, Any], threads: int) -> None:
    model = make(shape)
    tokens = texts(model, 1, 0)[0]
    found = whole(native(model, threads), tokens, [5, 1, 7])
    with torch.no_grad():
        expected = model(torch.tensor([tokens]))[0].numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.array_equal(found, whole(native(model), tokens, [0, 2, 4]))  # to the bit, wherever the cache has it


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_cache_in_16_bits_rounds_what_it_keeps_and_nothing_else(shape: dict[str, Any]) -> None:
    model = make(shape)
    tokens = texts(model, 1, 0)[0]
    exact, half = native(model), native(model, half=True)
    expected = whole(exact, tokens, [5, 1, 7])
    found = whole(half, tokens, [5, 1, 7])
    assert 0 < np.abs(found - expected).max() <= 5e-3 * np.abs(expected).max()
    assert 2 * half.cache.nbytes == exact.cache.nbytes
    rounding = TorchExecutor(model, 12, dtype=torch.float16)
    batch = Batch(tokens, list(range(CONTEXT)), [0] * CONTEXT, [[5, 1, 7]], wanted=list(range(CONTEXT)))
    with torch.no_grad():
        of_pytorch = rounding.step(batch).numpy()
    # Nearly all of the rounding is the same: a last digit that differs seldom makes another neighbour the nearest.
    assert np.abs(found - of_pytorch).max() <= 0.3 * np.abs(found - expected).max()


def test_float16_is_for_processors_that_convert_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(SHAPES[0])
    assert why_not_native(model, half=True) is None
    monkeypatch.setattr(instructions.binding, "get_host_cpu_features", lambda: {"f16c": False})
    monkeypatch.setattr(instructions.platform, "machine", lambda: "x86_64")
    assert "float16" in str(why_not_native(model, half=True))
    assert why_not_native(model) is None


def test_what_is_compiled_for_another_processor_does_without_float16() -> None:
    code = (
        "import test_native as t, torch\n"
        "model = t.make(t.SHAPES[0])\n"
        "tokens = t.texts(model, 1, 0)[0]\n"
        "found = torch.from_numpy(t.whole(t.native(model), tokens, [0, 1, 2]))\n"
        "print(float((found - model(torch.tensor([tokens]))[0]).abs().max()), t.why_not_native(model, half=True))\n"
    )
    environment = os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    difference, reason = ran.stdout.split(" ", 1)
    assert float(difference) < 1e-4
    assert ("float16" in reason) == (platform.machine() in instructions.X86)


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize(
    "shape", [{"vocab_size": 100, **GROUPED}, {"vocab_size": 97, "tie_embeddings": False} | GROUPED]
)
def test_smaller_weights_compute_as_the_plain_way(shape: dict[str, Any], kind: str) -> None:
    model = load_weights(make(shape), kind)
    assert why_not_native(model) is None
    tokens = texts(model, 1, 0)[0]
    found = whole(native(model, 2), tokens, [5, 1, 7])
    with torch.no_grad():
        expected = model(torch.tensor([tokens]))[0].numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_rows_that_are_no_whole_groups_of_4_bits_are_left_to_pytorch() -> None:
    assert "groups of 32" in str(why_not_native(load_weights(make(SHAPES[0]), "int4")))
    assert why_not_native(load_weights(make(SHAPES[0]), "int8")) is None


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    kind=st.sampled_from(["float32", "int8", "int4"]),
    threads=st.integers(1, 3),
    half=st.booleans(),
)
def test_a_row_is_the_same_to_the_bit_whatever_is_read_beside_it(
    seed: int, kind: str, threads: int, half: bool
) -> None:  # fmt: skip
    chance = random.Random(seed)
    model = load_weights(make({"vocab_size": 50, **GROUPED}), kind)
    rows = texts(model, 3, 1)
    alone = [
        whole(native(model, half=half), row, [3 * number, 3 * number + 1, 3 * number + 2])
        for number, row in enumerate(rows)
    ]
    together = native(model, threads, half)
    read = [0, 0, 0]
    while min(read) < CONTEXT:
        counts = [chance.randint(0, min(30, CONTEXT - done)) for done in read]
        order = chance.sample(range(3), 3)
        ids: list[int] = []
        positions: list[int] = []
        owners: list[int] = []
        for place, number in enumerate(order):
            span = range(read[number], read[number] + counts[number])
            ids += [rows[number][position] for position in span]
            positions += span
            owners += [place] * len(span)
        if not ids:
            continue
        tables = [[3 * number, 3 * number + 1, 3 * number + 2] for number in order]
        wanted = chance.sample(range(len(ids)), chance.randint(1, len(ids)))
        logits = together.step(ids, positions, owners, tables, wanted)
        for place, found in zip(wanted, logits, strict=True):
            assert np.array_equal(found, alone[order[owners[place]]][positions[place]])
        for number, count in enumerate(counts):
            read[number] += count


def test_threads_sleep_between_steps_and_end_with_the_model() -> None:
    model = make(SHAPES[0])
    before = threading.active_count()
    steps = native(model, 3)
    assert threading.active_count() == before + 2
    tokens = texts(model, 1, 0)[0]
    first = whole(steps, tokens, [0, 1, 2])
    while not all(steps._counters[ASLEEP + 8 * thread] for thread in (1, 2)):  # they look for work for a while
        time.sleep(0)
    assert np.array_equal(whole(steps, tokens, [0, 1, 2]), first)
    steps.close()
    assert threading.active_count() == before
    steps.close()


def test_a_model_elsewhere_is_left_to_pytorch() -> None:
    model = make(SHAPES[0])
    assert why_not_native(model) is None
    assert "bfloat16" in str(why_not_native(model.bfloat16()))
    assert "meta" in str(why_not_native(make(SHAPES[0]).to("meta")))


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_leaves_the_threads_in_step(before: bool) -> None:
    """Ctrl-C comes between two lines of Python: after the other threads were called, or when the step is done."""
    model = make(SHAPES[0])
    tokens = texts(model, 1, 0)[0]
    expected = whole(native(model), tokens, [0, 1, 2])
    steps = native(model, 3)
    run = steps._run

    def interrupted(*arguments: Any) -> Any:
        steps._run = run
        if not before:
            run(*arguments)
        raise KeyboardInterrupt

    steps._run = interrupted
    with pytest.raises(KeyboardInterrupt):
        whole(steps, tokens, [0, 1, 2])
    assert np.array_equal(whole(steps, tokens, [0, 1, 2]), expected)
    steps.close()


def test_a_row_that_is_no_number_leaves_nothing_behind() -> None:
    model = make({"vocab_size": 50, "hidden_size": 48, "num_heads": 4})
    sound = texts(model, 1, 0)[0]
    damaged = [token if token != 7 else 8 for token in sound]
    with torch.no_grad():
        model.model.embed_tokens.weight[7] = float("nan")
    steps = native(model, 2)
    expected = whole(steps, damaged, [0, 1, 2])
    assert not np.isnan(expected[:, :7]).any()
    assert np.isnan(whole(steps, [7, *damaged[1:]], [0, 1, 2])).any()
    assert np.array_equal(whole(steps, damaged, [0, 1, 2])[:, :7], expected[:, :7])


def test_a_model_that_nobody_holds_takes_its_threads_along() -> None:
    before = threading.active_count()
    steps = native(make(SHAPES[0]), 3)
    whole(steps, [1, 2, 3], [0])
    del steps
    gc.collect()
    assert threading.active_count() == before
