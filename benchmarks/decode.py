#!/usr/bin/env python3
"""How fast does quire write on a CPU, beside llama.cpp and transformers, the same model in the same run?

    python benchmarks/decode.py --out decode.json [--models 7M,42M,134M] [--weights f32,int8] [--batches 1,16]
        [--engines quire,quire-float16,llama.cpp,transformers] [--python llama.cpp=PEERS/bin/python] [--rounds 7]
        [--threads 2]

Each model has random weights, the same for everyone: quire and transformers open its folder, llama.cpp the GGUF file
that `quire export` makes of it. "f32" is float32 for all; "int8" is quire's int8 beside llama.cpp's q8_0, without
transformers. "quire-float16", where it is asked for, is quire with a cache in float16, as llama.cpp's is. Before any
clock runs, quire and llama.cpp must write the same 64 tokens in float32.

- decode: 128 tokens, one at a time, after a prompt of 16, by the time from the first written token to the last
- prefill: a prompt of 512 tokens; in a batch of 16, sixteen prompts of 32

Each engine is a process of its own (decode_engines.py), and takes short turns: A, B, C, A, B, C. Rates are medians
over rounds, and so are the ratios to llama.cpp, each of the same round. What is not installed is left out and said.
llama.cpp is `pip install llama-cpp-python`, built on the machine that it runs on; where it has an environment of its
own, name the Python of that with --python.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import string
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from answering import AnswerError, Answering
from quire.files import write_text
from quire.interop.gguf import GGUFType, write_gguf
from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

SHAPES = {  # untied heads, every head with its own keys, heads of 64 numbers
    "7M": ModelConfig(
        vocab_size=4096, hidden_size=256, num_layers=6, num_heads=4, context_length=1024, tie_embeddings=False
    ),
    "42M": ModelConfig(
        vocab_size=16384, hidden_size=512, num_layers=8, num_heads=8, context_length=1024, tie_embeddings=False
    ),
    "134M": ModelConfig(
        vocab_size=32000, hidden_size=768, num_layers=12, num_heads=12, context_length=1024, tie_embeddings=False
    ),
}
GGUF_OF: dict[str, GGUFType] = {"f32": "f32", "int8": "q8_0"}
ENGINES = ("quire", "llama.cpp", "transformers", "quire-float16")
PROMPT, WRITTEN, READ, COMPARED = 16, 128, 512, 64
ENGINE = Path(__file__).with_name("decode_engines.py")


class Worker(Answering):
    """The process of an engine.

    Args:
        python: the interpreter.
        engine: its name.
        model: what it opens.
        weights: "f32" or "int8".
        threads: how many it may use.
        log: where what it says goes.

    Raises:
        AnswerError: where it is entered, the engine is not there.
    """

    def __init__(self, python: str, engine: str, model: Path, weights: str, threads: int, log: Path) -> None:
        # Everyone's own threads wait as they wait by default, however the shell of this run has set them.
        environment = {name: value for name, value in os.environ.items() if name not in WAITING}
        environment["OMP_NUM_THREADS"] = str(threads)
        super().__init__([python, str(ENGINE), engine, str(model), weights, str(threads)], environment, log)
        self.version = ""

    def __enter__(self) -> Worker:
        opened = self.answer()
        if "left_out" in opened:
            self.__exit__(None, None, None)
            raise AnswerError(opened["left_out"])
        self.version = opened["version"]
        return self

    def ask(self, do: str, prompts: Sequence[str], tokens: int) -> dict[str, Any]:
        """Return the answer to a command."""
        answer: dict[str, Any] = self.answer_to(json.dumps({"do": do, "prompts": prompts, "tokens": tokens}))
        return answer

    def rates(self, batch: int) -> tuple[float, float]:
        """Return the tokens written and read in a second, in a batch of so many rows."""
        self.ask("write", prompts(batch, PROMPT), 4)  # its memory and the caches are cold from the others' turns
        wrote = self.ask("write", prompts(batch, PROMPT), WRITTEN + 1)
        read = self.ask("write", prompts(batch, READ // batch), 1)
        return batch * WRITTEN / (wrote["whole"] - wrote["first"]), READ // batch * batch / read["first"]


WAITING = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")


def prompts(rows: int, length: int) -> list[str]:
    """Return different texts of so many tokens each: a letter is a token."""
    letters = random.Random(length)
    return ["".join(letters.choices(string.ascii_letters, k=length)) for _ in range(rows)]


def random_model(shape: ModelConfig) -> tuple[Transformer, Tokenizer]:
    """Make a model whose every part has a say, and its tokenizer: bytes, and many ids that stand for nothing."""
    torch.manual_seed(0)
    model, tokenizer = Transformer(shape), Tokenizer.byte()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
            else:
                parameter.normal_(mean=1.0, std=0.1)
        model.head_weight[tokenizer.end_of_text] = 0  # no text ends before its time
    return model, tokenizer


def compare(
    name: str, weights: str, folder: Path, options: argparse.Namespace, pythons: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the rows of one model with one kind of weights."""
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for engine in options.engines:
            if (engine, weights) == ("transformers", "int8"):
                continue
            model = folder / f"{GGUF_OF[weights]}.gguf" if engine == "llama.cpp" else folder / "model"
            worker = Worker(
                pythons.get(engine, sys.executable), engine, model, weights, options.threads, folder / f"{engine}.log"
            )
            try:
                workers[engine] = stack.enter_context(worker)
            except AnswerError as error:
                print(f"{name}, {weights}: {engine} is left out: {error}", flush=True)
        if weights == "f32":
            check(name, workers)
        rows = []
        for batch in options.batches if workers else ():
            taken: dict[str, list[tuple[float, float]]] = {engine: [] for engine in workers}
            for _ in range(options.rounds):
                for engine, worker in workers.items():
                    taken[engine].append(worker.rates(batch))
            print_table(name, weights, batch, taken)
            rows += [
                {
                    "model": name,
                    "weights": weights,
                    "engine": engine,
                    "batch": batch,
                    "decode_tokens_per_second": statistics.median(decode for decode, _ in rates),
                    "prefill_tokens_per_second": statistics.median(prefill for _, prefill in rates),
                }
                for engine, rates in taken.items()
            ]
    return rows


def check(name: str, workers: Mapping[str, Worker]) -> None:
    """Compare what the engines write in float32; quire and llama.cpp must agree."""
    written = {
        engine: worker.ask("exact", prompts(1, PROMPT), COMPARED)["tokens"][0] for engine, worker in workers.items()
    }
    if len({tuple(tokens) for tokens in written.values()}) == 1:
        versions = ", ".join(f"{engine} {worker.version}" for engine, worker in workers.items())
        kinds = len(set(next(iter(written.values()))))
        print(f"{name}: the same {COMPARED} tokens, {kinds} different ones, by {versions}", flush=True)
        return
    for engine, tokens in written.items():
        print(f"{engine}: {tokens}", file=sys.stderr)
    if written.get("quire") != written.get("llama.cpp", written.get("quire")):
        raise SystemExit(f"{name}: quire and llama.cpp write different tokens in float32")
    print(f"{name}: transformers writes other tokens in float32", flush=True)


def print_table(name: str, weights: str, batch: int, taken: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Print the rates of one comparison and the ratios to llama.cpp, medians over rounds."""
    title = f"{name}, {weights}, batch {batch}"
    print(f"\n{title:24}{'decode, tokens/s':>18}{'to llama.cpp':>14}{'prefill, tokens/s':>19}{'to llama.cpp':>14}")
    peer = taken.get("llama.cpp")
    for engine, rates in taken.items():
        line = f"{engine:24}"
        for part, width in ((0, 18), (1, 19)):
            line += f"{statistics.median(rate[part] for rate in rates):>{width},.1f}"
            ratios = [ours[part] / theirs[part] for ours, theirs in zip(rates, peer or [], strict=False)]
            line += f"{statistics.median(ratios):>14.2f}" if ratios else f"{'-':>14}"
        print(line, flush=True)


def main(argv: Sequence[str] | None = None, shapes: Mapping[str, ModelConfig] = SHAPES) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def several(known: Sequence[str]) -> Any:
        def read(text: str) -> list[str]:
            chosen = text.split(",")
            for each in chosen:
                if each not in known:
                    raise argparse.ArgumentTypeError(f"{each!r} is not one of {', '.join(known)}")
            return chosen

        return read

    parser.add_argument("--out", type=Path, metavar="FILE", help="write the rows there, as JSON")
    parser.add_argument("--models", type=several([*shapes]), default=[*shapes], metavar="A,B")
    parser.add_argument("--weights", type=several([*GGUF_OF]), default=[*GGUF_OF], metavar="A,B")
    parser.add_argument("--engines", type=several(ENGINES), default=[*ENGINES[:3]], metavar="A,B")
    parser.add_argument("--batches", type=lambda text: [int(each) for each in text.split(",")], default=[1, 16])
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH", help="another environment")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine")
    parser.add_argument("--threads", type=int, default=2, help="of each engine")
    args = parser.parse_args(argv)
    rows: list[dict[str, Any]] = []
    for name in args.models:
        with tempfile.TemporaryDirectory(prefix="decode-") as scratch:
            folder = Path(scratch)
            model, tokenizer = random_model(shapes[name])
            print(f"\n{name}: {model.num_parameters():,} parameters, {args.threads} thread(s)")
            save_model_folder(folder / "model", model, tokenizer)
            for weights in args.weights:
                write_gguf(folder / f"{GGUF_OF[weights]}.gguf", model, tokenizer, GGUF_OF[weights], name=name)
            del model
            for weights in args.weights:
                rows += compare(name, weights, folder, args, dict(pair.split("=", 1) for pair in args.python))
            if args.out:
                write_text(args.out, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
