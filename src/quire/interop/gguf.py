"""A model and its tokenizer as one GGUF file, which llama.cpp, Ollama and LM Studio open.

- the layout of Qwen3 is written as architecture "qwen3"; without norms of queries and keys it is "llama"
- a tied head is stored once: without a tensor `output.weight` readers take the embedding table
- matrices in the type that is asked for, norms always in float32, as llama.cpp's own converter has them
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import torch

from quire.errors import FormatError, QuireError, UsageError
from quire.files import atomic_write, explain_os_error, why_no_folder
from quire.interop.huggingface import load_model_folder
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import SPLIT_PATTERN, TOKENIZER_FILE, Tokenizer

if TYPE_CHECKING:
    from io import BufferedWriter

    import gguf

GGUFType = Literal["f32", "bf16", "q8_0"]
GGUF_TYPES: tuple[str, ...] = get_args(GGUFType)

BLOCK_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OTHER_TENSORS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}

# The pattern of Llama 3: that of Qwen2, but for numbers of up to three digits.
LLAMA3_PATTERN = SPLIT_PATTERN.replace(r"\p{N}|", r"\p{N}{1,3}|")
SPLITTERS = {SPLIT_PATTERN: "qwen2", LLAMA3_PATTERN: "llama-bpe"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    architecture: str  # as llama.cpp names it, "qwen3" or "llama"
    type: str
    parameters: int
    tensors: int
    bytes: int
    wider: list[str] = field(default_factory=list)  # matrices that the type cannot hold and float32 does


def export_gguf(run: Path, out: Path, type: GGUFType = "f32", *, overwrite: bool = False) -> Exported:
    """Write the model and the tokenizer of a run as one GGUF file, whole or not at all.

    Args:
        run: a run, or any folder that quire opens as a model.
        out: the file to write; its folder is made where it is missing.
        type: of the matrices. "f32" as they are, "bf16" rounded to nearest even, "q8_0" in blocks of 32 numbers with
            one scale, as llama.cpp rounds them. A matrix whose rows are no multiple of 32 stays float32.
        overwrite: replace a GGUF file that is there; any other stays.

    Raises:
        UsageError: there is no such folder or type, or `out` is there already and may not be replaced.
        FormatError: see `load_model_folder`; or llama.cpp has no name for how the tokenizer splits text.
        QuireError: a weight is not finite, or the file cannot be written.
    """
    run, out = Path(run), Path(out)
    if type not in GGUF_TYPES:
        raise UsageError(f"type = {type!r} is not one of {', '.join(GGUF_TYPES)}", where="GGUF")
    if not run.is_dir():
        raise UsageError(why_no_folder(run), where=run)
    if out.is_dir():
        raise UsageError("this is a folder, and a GGUF is a file", where=out, hint="Choose another --out")
    if out.exists() and not overwrite:
        raise UsageError(
            "a file is there already", where=out, hint="Replace it by --overwrite, or choose another --out"
        )
    if out.exists() and not _is_gguf(out):
        raise UsageError("what is there is no GGUF file: it is not replaced", where=out, hint="Choose another --out")
    model, tokenizer = load_model_folder(run)
    return write_gguf(out, model, tokenizer, type, name=run.resolve().name, where=run)


def write_gguf(
    out: Path, model: Transformer, tokenizer: Tokenizer, type: GGUFType, *, name: str, where: Path | None = None
) -> Exported:
    """Write `model` and `tokenizer` as `export_gguf` does; a file that is there is replaced.

    Args:
        out: the file.
        model: float32, on the CPU.
        tokenizer: the one it was trained with.
        type: of the matrices.
        name: of the model, as other programs show it.
        where: the folder that both come from, for messages.
    """
    import gguf

    if model.weights_kind != "float32":
        raise UsageError(
            f"the weights are {model.weights_kind}, and GGUF has other roundings",
            where=where,
            hint="Export the run in float32 that they were made from, with --type q8_0 for 8 bits",
        )
    config = model.config
    architecture = "qwen3" if config.qk_norm else "llama"
    writer = gguf.GGUFWriter(None, architecture)
    writer.add_type("model")
    writer.add_name(name)
    _describe_model(writer, config)
    _describe_tokenizer(writer, tokenizer, config.vocab_size, where)
    kinds = {"f32": gguf.LlamaFileType.ALL_F32, "bf16": gguf.LlamaFileType.MOSTLY_BF16}
    writer.add_file_type(kinds.get(type, gguf.LlamaFileType.MOSTLY_Q8_0))
    if type == "q8_0":
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)

    wider, tensors = [], dict(_tensors(model))
    types: dict[str, gguf.GGMLQuantizationType] = {}
    for tensor_name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise QuireError(f"{tensor_name} holds numbers that are not finite", where=where)
        wanted = gguf.GGMLQuantizationType[type.upper()] if tensor.dim() > 1 else gguf.GGMLQuantizationType.F32
        block, block_bytes = gguf.GGML_QUANT_SIZES[wanted]
        if tensor.shape[-1] % block:
            wider.append(tensor_name)
            wanted = gguf.GGMLQuantizationType.F32
            block, block_bytes = gguf.GGML_QUANT_SIZES[wanted]
        types[tensor_name] = wanted
        size = tensor.numel() // block * block_bytes
        writer.add_tensor_info(tensor_name, list(tensor.shape), np.dtype(np.float32), size, raw_dtype=wanted)
    with atomic_write(out, "wb") as file:
        # The writer opens files by their names; this one has a temporary name, and is renamed when it is whole.
        writer.fout, writer.state = [cast("BufferedWriter", file)], gguf.WriterState.EMPTY
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor_name, tensor in tensors.items():  # one converted at a time: memory for one more, not for all
            writer.write_padding(file, file.tell())
            file.write(_numbers(tensor, types[tensor_name]))
        writer.write_padding(file, file.tell())
        size = file.tell()
    return Exported(out, architecture, type, model.num_parameters(), len(tensors), size, wider)


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError as error:
        raise explain_os_error(error, path) from None


def _tensors(model: Transformer) -> Iterator[tuple[str, torch.Tensor]]:
    config = model.config
    for name, tensor in model.state_dict().items():
        stem, kind = name.rsplit(".", 1)
        if stem in OTHER_TENSORS:
            yield f"{OTHER_TENSORS[stem]}.{kind}", tensor
            continue
        _, _, layer, part = stem.split(".", 3)
        heads = {"self_attn.q_proj": config.num_heads, "self_attn.k_proj": config.num_kv_heads}.get(part)
        if heads and not config.qk_norm:
            # llama.cpp turns neighbours (2i, 2i + 1) in this architecture, and i with i + K/2 in that of Qwen3.
            ordered = tensor.view(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
        else:
            ordered = tensor
        yield f"blk.{layer}.{BLOCK_TENSORS[part]}.{kind}", ordered


def _numbers(tensor: torch.Tensor, type: gguf.GGMLQuantizationType) -> memoryview:
    import gguf

    if type is gguf.GGMLQuantizationType.BF16:
        array = tensor.to(torch.bfloat16).view(torch.int16).numpy()
    elif type is gguf.GGMLQuantizationType.Q8_0:
        array = gguf.quants.quantize(tensor.numpy(), type)
    else:
        array = tensor.contiguous().numpy()
    return np.ascontiguousarray(array).data.cast("B")


def _describe_model(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context_length)
    writer.add_block_count(config.num_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)


def _describe_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer, size: int, where: Path | None) -> None:
    import gguf

    content = tokenizer.content()
    added = {token["id"]: token for token in content["added_tokens"]}
    names = {id: token for token, id in content["model"]["vocab"].items()}
    names |= {id: token["content"] for id, token in added.items()}
    taken, tokens, types = set(names.values()), [], []
    for id in range(size):
        if id not in names:  # a model may have more ids than its tokenizer, to round its size up
            filler = f"[PAD{id}]"
            while filler in taken:
                filler = f"[{filler}]"
            tokens.append(filler)
            types.append(gguf.TokenType.UNUSED)
            continue
        tokens.append(names[id])
        if id not in added:
            types.append(gguf.TokenType.NORMAL)
        else:
            types.append(gguf.TokenType.CONTROL if added[id]["special"] else gguf.TokenType.USER_DEFINED)
    end = tokenizer.end_of_text
    # llama.cpp opens no file without merges, and its writer writes no empty list. Where there are none, the one given
    # joins what no text holds.
    merges = [" ".join(pair) for pair in content["model"]["merges"]] or [f"{tokens[end]} {tokens[end]}"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitter_name(content, where))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)  # quire puts nothing before a prompt, unless it is empty
    writer.add_add_space_prefix(False)


def splitter_name(content: dict[str, Any], where: Path | None = None) -> str:
    """Return the name that llama.cpp has for how a tokenizer splits text before it merges.

    Args:
        content: of the tokenizer.json.
        where: its folder, for the message.

    Raises:
        FormatError: it has none: there the same text would be other tokens, and the model would not understand it.
    """
    splitter = content["pre_tokenizer"] or {}
    steps = splitter["pretokenizers"] if splitter.get("type") == "Sequence" else [splitter]
    last = steps[-1]
    name = None
    if last.get("type") == "ByteLevel" and not last["add_prefix_space"]:
        if len(steps) == 1 and last["use_regex"]:
            name = "gpt-2"
        elif len(steps) == 2 and not last["use_regex"] and steps[0]["type"] == "Split":
            step = steps[0]
            if (step["behavior"], step["invert"]) == ("Isolated", False):
                name = SPLITTERS.get(step["pattern"].get("Regex", ""))
    # Words that are tokens as they are, without a merge that makes them, llama.cpp knows with the pattern of Llama 3.
    if name is None or content["model"]["ignore_merges"] != (name == "llama-bpe"):
        raise FormatError(
            "llama.cpp knows no tokenizer that splits text in this way",
            where=where and where / TOKENIZER_FILE,
            hint="What `quire train` makes can be exported, and the tokenizers of Qwen 2 and 3, Llama 3 and GPT-2",
        )
    return name
