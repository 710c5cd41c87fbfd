"""The engines of benchmarks/decode.py, each in a process of its own: commands come in as lines, answers go out.

    python decode_engines.py ENGINE MODEL WEIGHTS THREADS

MODEL is a model folder, or a GGUF file for llama.cpp; the interpreter needs only what its engine needs, and NumPy.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np


class LeftOutError(Exception):
    """The engine does not have what is asked for."""


@dataclass(frozen=True)
class Engine:
    """What is timed.

    Args:
        write: given prompts and a number of tokens, reads the prompts, takes the likeliest token of each row so many
            times, and returns the tokens, and the seconds from the start to the first token of all rows and to the end.
        exact: writes as `write` does, with nothing rounded to 16 bits, to compare the tokens of engines.
        version: of the engine.
    """

    write: Callable[[Sequence[str], int], tuple[list[list[int]], float, float]]
    exact: Callable[[Sequence[str], int], list[list[int]]]
    version: str


def quire_engine(
    folder: str, weights: str, threads: int, cache: Literal["float32", "float16"] = "float32"
) -> Engine:  # fmt: skip
    """Return quire's own, with keys and values in float32 or, as llama.cpp keeps them, in float16."""
    import torch

    import quire
    from quire.inference.language import load
    from quire.inference.settings import InferenceSettings, SamplingSettings

    # No prefix cache: every prompt is read.
    settings = InferenceSettings(threads=threads, step_tokens=512, prefix_cache=False, cache_dtype=cache)
    torch.set_num_threads(threads)
    kind = {"f32": "float32"}.get(weights, weights)
    language = load(folder, "cpu", settings=settings, weights=kind)

    def exact(prompts: Sequence[str], tokens: int) -> list[list[int]]:
        whole = load(folder, "cpu", settings=InferenceSettings(threads=threads), weights=kind)
        written = whole.generate(list(prompts), SamplingSettings(temperature=0, max_tokens=tokens))
        whole.close()
        return [each.tokens for each in written]

    def write(prompts: Sequence[str], tokens: int) -> tuple[list[list[int]], float, float]:
        writing = language.start(list(prompts), SamplingSettings(temperature=0, max_tokens=tokens))
        began = time.perf_counter()
        for _ in writing:
            pass
        whole = time.perf_counter() - began
        return [each.tokens for each in writing.completions()], writing.seconds_to_first_token, whole

    return Engine(write, exact, quire.__version__)


def transformers_engine(folder: str, weights: str, threads: int) -> Engine:
    """Return a plain loop around transformers' model with its cache, which is less work than its `generate`."""
    import torch
    import transformers

    if weights != "f32":
        raise LeftOutError("of transformers only float32 weights are compared")
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def write(prompts: Sequence[str], tokens: int) -> tuple[list[list[int]], float, float]:
        began = time.perf_counter()
        newest, first = torch.tensor([list(prompt.encode()) for prompt in prompts]), 0.0
        cache = transformers.DynamicCache(config=model.config)
        written = []
        for _ in range(tokens):
            logits = model(input_ids=newest, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            newest = logits[:, -1].argmax(-1, keepdim=True)
            written.append(newest[:, 0].tolist())
            first = first or time.perf_counter() - began
        whole = time.perf_counter() - began
        return [list(row) for row in zip(*written, strict=True)], first, whole

    return Engine(write, lambda prompts, tokens: write(prompts, tokens)[0], transformers.__version__)


def llama_engine(path: str, weights: str, threads: int) -> Engine:
    """Return llama.cpp, called as its own programs call it: a batch in, a pointer to scores out.

    Settings are llama.cpp's own (cache in float16, flash attention where it wants it) but for threads and mapping: the
    weights are read, so that no page is missing when the clock runs.
    """
    import llama_cpp as library

    library.llama_backend_init()
    settings = library.llama_model_default_params()
    settings.use_mmap = False
    model = library.llama_model_load_from_file(path.encode(), settings)
    if not model:
        raise LeftOutError(f"llama.cpp cannot open {path}")
    vocabulary = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
    contexts: dict[tuple[int, int, bool], Any] = {}

    def context(rows: int, length: int, exact: bool) -> Any:
        if (rows, length, exact) not in contexts:
            settings = library.llama_context_default_params()
            settings.n_ctx, settings.n_seq_max = rows * length, rows
            settings.n_batch = settings.n_ubatch = 512
            settings.n_threads = settings.n_threads_batch = threads
            if exact:
                settings.type_k = settings.type_v = 0  # GGML_TYPE_F32
            contexts[rows, length, exact] = library.llama_init_from_model(model, settings)
        return contexts[rows, length, exact]

    def write(prompts: Sequence[str], tokens: int, *, exact: bool = False) -> tuple[list[list[int]], float, float]:
        rows, read = len(prompts), [list(prompt.encode()) for prompt in prompts]
        length = -(-(len(read[0]) + tokens) // 256) * 256  # llama.cpp's caches come in pieces of 256
        here = context(rows, length, exact)
        library.llama_memory_clear(library.llama_get_memory(here), True)
        batch = library.llama_batch_init(rows * max(map(len, read)), 0, 1)

        def step(given: Sequence[Sequence[int]], start: int) -> Any:
            place, asked = 0, []
            for row, ids in enumerate(given):
                for offset, token in enumerate(ids):
                    batch.token[place], batch.pos[place] = token, start + offset
                    batch.n_seq_id[place], batch.seq_id[place][0] = 1, row
                    batch.logits[place] = offset == len(ids) - 1
                    place += 1
                asked.append(place - 1)
            batch.n_tokens = place
            if library.llama_decode(here, batch):
                raise LeftOutError("llama.cpp could not read the tokens")
            # The scores that were asked for lie one after the other.
            scores = np.ctypeslib.as_array(library.llama_get_logits(here), (len(asked), vocabulary))
            return scores.argmax(1).tolist()

        began = time.perf_counter()
        newest = step(read, 0)
        first = time.perf_counter() - began
        written, position = [newest], len(read[0])
        for _ in range(tokens - 1):
            newest = step([[token] for token in newest], position)
            written.append(newest)
            position += 1
        whole = time.perf_counter() - began
        library.llama_batch_free(batch)
        return [list(row) for row in zip(*written, strict=True)], first, whole

    return Engine(write, lambda prompts, tokens: write(prompts, tokens, exact=True)[0], library.__version__)


ENGINES: dict[str, Callable[[str, str, int], Engine]] = {
    "quire": quire_engine,
    "quire-float16": partial(quire_engine, cache="float16"),
    "llama.cpp": llama_engine,
    "transformers": transformers_engine,
}


def main() -> None:
    """Answer commands until there are no more."""
    name, model, weights, threads = sys.argv[1:]
    try:
        engine = ENGINES[name](model, weights, int(threads))
    except (ImportError, LeftOutError) as error:
        print(json.dumps({"left_out": str(error)}), flush=True)
        return
    print(json.dumps({"version": engine.version}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "exact":
            answer: dict[str, Any] = {"tokens": engine.exact(asked["prompts"], asked["tokens"])}
        else:
            _, first, whole = engine.write(asked["prompts"], asked["tokens"])
            answer = {"first": first, "whole": whole}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
