"""A model as a folder: `config.json` and `model.safetensors`, as Hugging Face's Qwen3 and Llama models have them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import nn
from torch.overrides import TorchFunctionMode

from quire.errors import FormatError
from quire.files import write_bytes, write_text
from quire.model.config import ModelConfig
from quire.model.quantization import GROUP, KINDS, Kind, QuantizedTable, make_room
from quire.model.transformer import Transformer

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
CAN_MAP = os.name == "posix"
"""Whether a file that is mapped can still be replaced by another one."""

# The two layouts are the same but for the norms of queries and keys.
ARCHITECTURES = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}

# What these layouts may have and this transformer does not: a folder that sets one to anything else would be
# opened wrongly in silence.
UNSUPPORTED = {
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "use_sliding_window": (False, None),
    "rope_scaling": (None,),
    "hidden_act": ("silu", None),
}

# Integers, on the disk: NAME.weight beside NAME.weight_scale.
STORED_AS = {".values": ".weight", ".scales": ".weight_scale"}


class _Undrawn(TorchFunctionMode):
    """Leaves weights as they are where random numbers would fill them, only to be overwritten by those of a file.

    Drawing takes most of the time of reading a model, 80 of 100 ms for 12M parameters, and moves the caller's random
    numbers. (`torch.device("meta")` draws nothing either, but imports half of torch's compiler: 0.9 s.)
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in (nn.init.normal_, nn.init.kaiming_uniform_):
            return (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


def write_model(folder: Path, model: Transformer, end_of_text: int) -> None:
    """Write `config.json` and `model.safetensors`, each whole or not at all, weights in the type they have.

    Args:
        folder: made where it is missing; other files in it stay.
        model: what to write; of integers and their scales if it was quantized.
        end_of_text: the token that ends a text, by which other programs stop generating.

    Raises:
        QuireError: the folder cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _stored_state(model).items()}
    dtype = str(model.model.norm.weight.dtype).removeprefix("torch.")
    described = describe(model.config, end_of_text) | {"torch_dtype": dtype}
    if model.weights_kind != "float32":
        described["quantization_config"] = _describe_quantization(model.weights_kind)
    write_text(folder / CONFIG_FILE, json.dumps(described, indent=2) + "\n")
    # Readers of the ecosystem ask the metadata for the framework and refuse files without it.
    write_bytes(folder / WEIGHTS_FILE, safetensors.torch.save(tensors, metadata={"format": "pt"}))


def read_model(folder: Path, device: torch.device | str = "cpu", *, mapped: bool = False) -> Transformer:
    """Read the model of `folder`, ours or another's of these layouts, ready to write (`eval` mode).

    Its weights become float32, but for those that quire stored as integers, which stay what they are.

    Args:
        folder: holds `config.json` and `model.safetensors`, or several weight files and their index.
        device: where the weights go.
        mapped: whether weights that are float32 may stay in the file, for somebody who makes a copy of them anyway. The
            system reads them when they are used, and may forget them again where memory is short; what is written into
            them goes to memory. `keep_in_memory` ends it. A file that is replaced by renaming does not change them, one
            that is written over does, and one that is cut ends the process.

    Raises:
        FormatError: a file is missing or no such file, the layout is another, or a tensor is missing, unknown or of
            another shape or type than the configuration says.
    """
    config, kind = read_config(folder), read_weights_kind(folder)
    with _Undrawn():
        model = Transformer(config)
    if kind != "float32":
        make_room(model, kind)
    wanted = _stored_state(model)
    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        tensors.update(_read_tensors(path))
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if config.tie_embeddings:
        tensors.pop("lm_head.weight", None)  # some writers store the tied table twice
    where = folder / WEIGHTS_FILE
    missing, unknown = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing:
        raise FormatError(f"{len(missing)} tensor(s) missing, the first is {missing[0]}", where=where)
    if unknown:
        raise FormatError(f"{len(unknown)} unknown tensor(s), the first is {unknown[0]}", where=where)
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise FormatError(
                f"{name} has the shape {list(tensor.shape)}, the configuration asks for {list(wanted[name].shape)}",
                where=where,
            )
        integers, scales = not wanted[name].is_floating_point(), name.endswith(STORED_AS[".scales"])
        if (integers or scales) and tensor.dtype != wanted[name].dtype:
            raise FormatError(f"{name} holds {tensor.dtype}, {kind} weights need {wanted[name].dtype}", where=where)
        if not integers and not tensor.dtype.is_floating_point:
            raise FormatError(f"{name} holds {tensor.dtype}, not floating-point numbers", where=where)
        if scales and not bool(torch.isfinite(tensor).all()):
            raise FormatError(f"{name} holds a scale that is infinite or none (NaN)", where=where)
        if tensor.dtype == torch.int8 and bool((tensor == -128).any()):
            raise FormatError(f"{name} holds -128, int8 weights are -127 to 127", where=where)
    if mapped and kind == "float32" and CAN_MAP:
        model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
        model.mapped = torch.device(device).type == "cpu"
    else:
        for name, tensor in tensors.items():
            wanted[name].copy_(tensor)
    return model.to(device).eval()


def keep_in_memory(model: Transformer) -> None:
    """Copy weights that `read_model` left in their file into memory, so that what becomes of it does not matter."""
    if model.mapped:
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
        model.mapped = False


def describe(config: ModelConfig, end_of_text: int) -> dict[str, Any]:
    """Return the content of `config.json` for `config`."""
    model_type = "qwen3" if config.qk_norm else "llama"
    return {
        "architectures": [ARCHITECTURES[model_type]],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.context_length,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tie_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "initializer_range": config.initializer_range,
        "hidden_dropout": config.dropout,  # quire's own: others apply none
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": end_of_text,
        "use_cache": True,
    }


def read_config(folder: Path) -> ModelConfig:
    """Read the shape of the model of `folder`. Raises `FormatError` as `read_model` does."""
    path = folder / CONFIG_FILE
    stored = _read_json(path)
    model_type = stored.get("model_type")
    if model_type not in ARCHITECTURES:
        raise FormatError(f"model_type is {model_type!r}, known are {', '.join(ARCHITECTURES)}", where=path)
    for key, allowed in UNSUPPORTED.items():
        if stored.get(key) not in allowed:
            raise FormatError(f"{key} = {stored[key]!r} is not supported", where=path)
    read_weights_kind(folder)
    # transformers 5 writes the rotary settings as one group, earlier versions rope_theta alone.
    rope = stored.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise FormatError(f"rope_type = {rope['rope_type']!r} is not supported", where=path)
    heads = stored.get("num_attention_heads")
    values = {
        "vocab_size": stored.get("vocab_size"),
        "hidden_size": stored.get("hidden_size"),
        "num_layers": stored.get("num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": stored.get("num_key_value_heads") or heads,
        "head_dim": stored.get("head_dim"),
        "intermediate_size": stored.get("intermediate_size"),
        "context_length": stored.get("max_position_embeddings"),
        "rope_theta": rope.get("rope_theta", stored.get("rope_theta", 10000.0)),
        "norm_eps": stored.get("rms_norm_eps", 1e-6),
        "tie_embeddings": stored.get("tie_word_embeddings", False),
        "qk_norm": model_type == "qwen3",
        "dropout": stored.get("hidden_dropout", 0.0),
        "initializer_range": stored.get("initializer_range", 0.02),
    }
    if values["head_dim"] is None:  # absent, as in older Llama folders: heads share the width
        del values["head_dim"]
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        issue = error.errors()[0]
        key = ".".join(str(part) for part in issue["loc"]) or "the configuration"
        raise FormatError(f"{key}: {issue['msg']}", where=path) from None


def read_weights_kind(folder: Path) -> Kind | Literal["float32"]:
    """Return what the weights of `folder` become in memory. Raises `FormatError` where nobody here can read them."""
    path = folder / CONFIG_FILE
    stored = _read_json(path).get("quantization_config")
    if stored is None:
        return "float32"
    for kind in KINDS:
        if stored == _describe_quantization(kind):
            return kind
    raise FormatError(
        f"quantization_config = {json.dumps(stored)[:200]} is not supported",
        where=path,
        hint=f"Readable are weights without it, and those of `quire export --to {'|'.join(KINDS)}`",
    )


def _describe_quantization(kind: str) -> dict[str, Any]:
    # There is no "quant_method" on purpose: without one transformers raises an error, and where it does not know the
    # one that is there, it only warns and takes the integers for weights.
    return {"format": "quire", "weights": kind, "group": GROUP, "embedding": "int8"}


def _stored_state(model: Transformer) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, QuantizedTable):
            for ours, stored in STORED_AS.items():
                state[name + stored] = state.pop(name + ours)
    return state


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights of `folder`. Raises `FormatError` where the index of several is broken."""
    single, index = folder / WEIGHTS_FILE, folder / INDEX_FILE
    if single.is_file() or not index.is_file():
        return [single]
    names = _read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise FormatError("no weight_map from tensors to files", where=index)
    outside = [name for name in names.values() if Path(name).name != name]
    if outside:
        raise FormatError(f"{outside[0]!r} is not a file of this folder", where=index)
    return [folder / name for name in sorted(set(names.values()))]


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise FormatError("no such file", where=path, hint="Weights are read from safetensors files only")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise FormatError(f"not a safetensors file, or cut short: {error}", where=path) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise FormatError("no such file", where=path, hint="Is this the folder of a model or a run?") from None
    except (OSError, ValueError) as error:
        raise FormatError(f"not readable as JSON: {error}", where=path) from None
    if not isinstance(content, dict):
        raise FormatError("not a JSON object", where=path)
    return content
