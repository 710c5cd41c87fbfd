#!/usr/bin/env python3
"""What do weights of 8 and 4 bits cost, in bits per byte of a run's own validation text, and which matrices lose most?

    benchmarks/quantization.py RUN [--json-out FILE]

Prints for each way of rounding its size and its bits per byte: the ways of quire, and others that were compared with
them. Then for 4 bits what each matrix costs by itself, all layers together, the other weights left in float32, and what
keys and values in float16 cost, where each token reads those before it out of the engine's cache.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F

from quire.evaluation.smaller import validation_score
from quire.inference.language import LanguageModel
from quire.inference.settings import InferenceSettings, SamplingSettings
from quire.interop.huggingface import load_model_folder
from quire.model.quantization import (
    GROUP,
    dequantize_int4,
    dequantize_int8,
    load_weights,
    num_bytes,
    quantize_int4,
    quantize_int8,
)
from quire.model.transformer import Transformer
from quire.tokens.dataset import TokenDataset

Round = Callable[[torch.Tensor], torch.Tensor]
PARTS = ("embed_tokens", "lm_head", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run with its validation text")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    result = measure(args.run)
    show(result)
    if args.json_out:
        args.json_out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def measure(run: Path) -> dict[str, Any]:
    """Return bits per byte and bytes of every way, and the rise in percent by each part."""
    model, data = load_model_folder(run)[0], TokenDataset.open(run / "quire" / "tokens")

    def bits(changed: Transformer) -> float:
        return validation_score(changed, data, None).bits_per_byte

    whole = bits(model)
    result: dict[str, Any] = {
        "parameters": model.num_parameters(),
        "validation_bytes": data.validation.num_bytes,
        "kinds": {"float32": {"bytes": num_bytes(model), "bits_per_byte": whole}},
        "ways": {},
        "parts": {},
    }
    for kind in ("int8", "int4"):
        small = load_weights(copy.deepcopy(model), kind)
        result["kinds"][kind] = {"bytes": num_bytes(small), "bits_per_byte": bits(small)}
    ways: dict[str, Round] = {
        "8 bits a row": lambda weight: dequantize_int8(*quantize_int8(weight)),
        "4 bits, 16 integers, sign of the largest": four_bits,
        "4 bits, 15 integers, symmetric": symmetric,
        "4 bits, 16 integers, zero point": zero_point,
    }
    for name, way in ways.items():
        rounded = {part: bits(with_rounded(model, way, part)) for part in ("", "layers", "table")}
        result["ways"][name] = {"all": rounded[""], "blocks": rounded["layers"], "table": rounded["table"]}
    caches = {kind: through_cache(model, data, kind) for kind in ("float32", "float16")}
    result["caches"] = {kind: {"tokens": count, "bits_per_byte": found} for kind, (count, found) in caches.items()}
    for part in PARTS:
        share = sum(weight.numel() for name, weight in model.named_parameters() if chosen(name, weight, part))
        if share:
            rise = bits(with_rounded(model, four_bits, part)) / whole - 1
            result["parts"][part] = {"share": share / model.num_parameters(), "rise": rise}
    return result


def through_cache(model: Transformer, data: TokenDataset, kind: Literal["float32", "float16"]) -> tuple[int, float]:
    """Return the tokens that are scored of whole contexts of validation text, and their bits per byte."""
    context, split = model.config.context_length, data.validation
    language = LanguageModel(model, data.tokenizer, InferenceSettings(cache_dtype=kind), backend="native")
    sampling = SamplingSettings(max_tokens=1, prompt_logprobs=0)
    nats, scored, size = 0.0, 0, 0
    for start in range(0, split.num_tokens - context + 1, context):
        window = split.tokens(start, start + context).tolist()
        told = language.engine.submit(window, sampling).result()[0].prompt_logprobs or []
        nats -= sum(each.logprob for each in told)
        scored += len(told)
        size += len(data.tokenizer.decode_bytes(window[1:]))
    language.close()
    return scored, nats / (size * math.log(2))


def chosen(name: str, weight: torch.Tensor, part: str) -> bool:
    """Return whether a weight is a matrix of `part`: a name, or "table" for embedding and head."""
    table = "embed_tokens" in name or "lm_head" in name
    return weight.dim() == 2 and (table if part == "table" else part in name)


def with_rounded(model: Transformer, way: Round, part: str) -> Transformer:
    """Return a copy of `model` whose matrices of `part` are rounded."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in changed.named_parameters():
            if chosen(name, weight, part):
                weight.copy_(way(weight))
    return changed


def four_bits(weight: torch.Tensor) -> torch.Tensor:
    """Round as `quantize_int4` does."""
    return dequantize_int4(*quantize_int4(weight), weight.shape[1])


def symmetric(weight: torch.Tensor) -> torch.Tensor:
    """Round to -7 to 7 times the largest size of a group over 7."""
    groups = grouped(weight)
    scales = groups.abs().amax(2, keepdim=True).clamp(min=1e-30) / 7
    return (torch.round(groups / scales) * scales).flatten(1)[:, : weight.shape[1]]


def zero_point(weight: torch.Tensor) -> torch.Tensor:
    """Round to 0 to 15 steps from the smallest number of a group, or from 0, to the largest."""
    groups = grouped(weight)
    low, high = groups.amin(2, keepdim=True).clamp(max=0), groups.amax(2, keepdim=True).clamp(min=0)
    scales = (high - low).clamp(min=1e-30) / 15
    zero = torch.round(-low / scales)
    return (((torch.round(groups / scales) + zero).clamp(0, 15) - zero) * scales).flatten(1)[:, : weight.shape[1]]


def grouped(weight: torch.Tensor) -> torch.Tensor:
    """Return the matrix in groups of 32, (O, G, 32), filled up with zeros."""
    return F.pad(weight, (0, -weight.shape[1] % GROUP)).view(len(weight), -1, GROUP)


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    whole = result["kinds"]["float32"]["bits_per_byte"]
    print(f"{result['parameters']:,} parameters, {result['validation_bytes']:,} bytes of validation text\n")
    print(f"{'weights':<12} {'bytes':>14} {'bits a byte':>12} {'rise':>9}")
    for kind, row in result["kinds"].items():
        rise = row["bits_per_byte"] / whole - 1
        print(f"{kind:<12} {row['bytes']:>14,} {row['bits_per_byte']:>12.4f} {100 * rise:>+8.3f}%")
    print(f"\n{'rise of bits a byte by':<42} {'all':>9} {'blocks':>9} {'table':>9}")
    for way, row in result["ways"].items():
        print(f"{way:<42} " + " ".join(f"{100 * (row[part] / whole - 1):>+8.3f}%" for part in row))
    print(f"\n{'cache':<12} {'tokens scored':>14} {'bits a byte':>12} {'rise':>9}")
    for kind, row in result["caches"].items():
        rise = row["bits_per_byte"] / result["caches"]["float32"]["bits_per_byte"] - 1
        print(f"{kind:<12} {row['tokens']:>14,} {row['bits_per_byte']:>12.4f} {100 * rise:>+8.4f}%")
    print(f"\n{'4 bits in':<14} {'of the weights':>15} {'rise':>9}")
    for part, row in result["parts"].items():
        print(f"{part:<14} {row['share']:>15.1%} {100 * row['rise']:>+8.3f}%")


if __name__ == "__main__":
    main()
