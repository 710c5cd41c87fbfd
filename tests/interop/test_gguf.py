"""A GGUF file holds the model and the tokenizer of its run, by the package of llama.cpp and by llama.cpp itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

import quire.interop.gguf
from quire.errors import FormatError, QuireError, UsageError
from quire.inference.language import load
from quire.inference.settings import SamplingSettings
from quire.interop.gguf import GGUF_TYPES, export_gguf, splitter_name, write_gguf
from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.quantization import load_weights
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

TEXTS = [
    "It is a truth universally acknowledged, that a single man in possession of a good fortune.\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich — 12 €, 3.50 £.\r\n\r\n",
    "def f(x):\n\treturn x  **  2   # 12345 67\n\n\n    ''' it's, we'LL, they'd'''\n",
    "Русский текст, 日本語のテキスト, عربى, हिन्दी, 한국어, e\u0301 and \u00e9, 🙂👩‍👩‍👧, \u00a0\u2003\u200b x",
    "   ",
    "\n \n\n  \n",
    " a",
    "<|endoftext|> and <|im_end|> are text here",
    "Ǆ ǅ ½ ² Ⅷ ٣ _a_ --- ...!?\n?",
    "\x00\x07\x1b[0m",
]
BPE = Tokenizer.train([text * 3 for text in TEXTS], 400)
VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tie_embeddings": False},
    "every head its own keys": {"num_kv_heads": 4, "rope_theta": 500.0},
    "llama": {"qk_norm": False, "tie_embeddings": False},
    "llama, tied, every head its own keys": {"qk_norm": False, "num_kv_heads": 4},
}


def make_model(tokenizer: Tokenizer, **changes: Any) -> Transformer:
    torch.manual_seed(1)
    shape = {"vocab_size": tokenizer.vocab_size + 5, "hidden_size": 64, "num_layers": 2, "num_heads": 4}
    shape |= {"num_kv_heads": 2, "head_dim": 32, "intermediate_size": 96, "context_length": 128, "norm_eps": 1e-5}
    model = Transformer(ModelConfig.model_validate(shape | changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((1.0 if parameter.dim() == 1 else 0.0) + 0.2 * torch.randn(parameter.shape))
        model.head_weight[tokenizer.end_of_text] = 0  # nothing ends before its time
    return model


def made(folder: Path, tokenizer: Tokenizer = BPE, **changes: Any) -> tuple[Path, Transformer]:
    model = make_model(tokenizer, **changes)
    save_model_folder(folder / "run", model, tokenizer)
    return folder / "run", model


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = gguf.GGUFReader(path)
    return {name: each.contents() for name, each in reader.fields.items()}, {each.name: each for each in reader.tensors}


def state_dict_of(tensors: dict[str, Any], config: ModelConfig) -> dict[str, np.ndarray[Any, Any]]:
    """Name and order the numbers of a GGUF file as Hugging Face has them, by llama.cpp's rules and not by ours."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA if not config.qk_norm else gguf.MODEL_ARCH.QWEN3, 2)
    found = {}
    for name in Transformer(config).state_dict():
        each = tensors.pop(names.get_name(name, try_suffixes=(".weight",)))
        array = gguf.quants.dequantize(each.data, each.tensor_type).reshape(tuple(reversed(each.shape.tolist())))
        if not config.qk_norm and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.num_heads if "q_proj" in name else config.num_kv_heads
            pairs = array.reshape(heads, config.head_dim // 2, 2, -1)  # neighbours are turned together
            array = np.concatenate((pairs[:, :, 0], pairs[:, :, 1]), axis=1).reshape(array.shape)
        found[name] = array
    assert not tensors, "nothing else is in the file"
    return found


@pytest.mark.parametrize("type", GGUF_TYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_tensor_comes_back(tmp_path: Path, variant: str, type: Any) -> None:
    run, model = made(tmp_path, **VARIANTS[variant])
    written = export_gguf(run, tmp_path / "model.gguf", type)
    _, tensors = read(written.path)
    assert written.tensors == len(tensors)
    assert written.bytes == written.path.stat().st_size
    kinds = {name: each.tensor_type.name for name, each in tensors.items()}
    assert all(kind == ("F32" if "norm" in name else type.upper()) for name, kind in kinds.items())
    assert ("output.weight" in tensors) is not model.config.tie_embeddings
    for name, ours in state_dict_of(tensors, model.config).items():
        exact = model.state_dict()[name]
        if type == "f32" or exact.dim() == 1:
            np.testing.assert_array_equal(ours, exact.numpy())
        elif type == "bf16":
            np.testing.assert_array_equal(ours, exact.to(torch.bfloat16).float().numpy())
        else:
            blocks = exact.reshape(-1, 32)
            step = blocks.abs().amax(1, keepdim=True) / 127
            # Half a step, and what a step is off that is stored with 11 bits, 127 times.
            assert ((torch.from_numpy(ours).reshape(-1, 32) - blocks).abs() <= step * (0.5 + 127 * 2**-11)).all()
            assert (torch.from_numpy(ours) != exact).any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_metadata_is_that_of_the_model(tmp_path: Path, variant: str) -> None:
    run, model = made(tmp_path, **VARIANTS[variant])
    fields, _ = read(export_gguf(run, tmp_path / "new" / "model.gguf").path)
    config = model.config
    arch = "qwen3" if config.qk_norm else "llama"
    expected = {
        "general.architecture": arch,
        "general.name": "run",
        "general.file_type": 0,
        f"{arch}.context_length": 128,
        f"{arch}.block_count": 2,
        f"{arch}.embedding_length": 64,
        f"{arch}.feed_forward_length": 96,
        f"{arch}.attention.head_count": 4,
        f"{arch}.attention.head_count_kv": config.num_kv_heads,
        f"{arch}.attention.key_length": 32,
        f"{arch}.attention.value_length": 32,
        f"{arch}.rope.dimension_count": 32,
        f"{arch}.rope.freq_base": config.rope_theta,
        f"{arch}.attention.layer_norm_rms_epsilon": pytest.approx(1e-5),
        f"{arch}.vocab_size": config.vocab_size,
    }
    assert {name: fields[name] for name in expected} == expected


def test_the_tokenizer_is_that_of_the_run(tmp_path: Path) -> None:
    run, model = made(tmp_path)
    fields, _ = read(export_gguf(run, tmp_path / "model.gguf", "bf16").path)
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    stored = json.loads((run / "tokenizer.json").read_text("utf-8"))
    assert len(tokens) == len(types) == model.config.vocab_size == BPE.vocab_size + 5
    assert len(set(tokens)) == len(tokens)
    assert {token: id for id, token in enumerate(tokens[: BPE.vocab_size - 3])} == stored["model"]["vocab"]
    assert types == [1] * (BPE.vocab_size - 3) + [3] * 3 + [5] * 5
    assert tokens[BPE.end_of_text] == "<|endoftext|>"
    assert fields["tokenizer.ggml.merges"] == [" ".join(pair) for pair in stored["model"]["merges"]]
    assert {fields[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "padding")} == {BPE.end_of_text}
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) == ("gpt2", "qwen2")
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_BF16


def test_a_tokenizer_of_bytes_has_a_merge_that_never_applies(tmp_path: Path) -> None:
    run, _ = made(tmp_path, Tokenizer.byte())
    fields, _ = read(export_gguf(run, tmp_path / "model.gguf").path)
    assert fields["tokenizer.ggml.merges"] == ["<|endoftext|> <|endoftext|>"]


def test_rows_that_are_no_multiple_of_32_stay_float32_and_that_is_told(tmp_path: Path) -> None:
    run, model = made(tmp_path, intermediate_size=72)
    written = export_gguf(run, tmp_path / "model.gguf", "q8_0")
    _, tensors = read(written.path)
    assert written.wider == ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"]
    assert {each.name for each in tensors.values() if each.tensor_type.name == "F32" and len(each.shape) == 2} == {
        *written.wider
    }
    np.testing.assert_array_equal(
        tensors["blk.1.ffn_down.weight"].data, model.state_dict()["model.layers.1.mlp.down_proj.weight"].numpy()
    )


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=64, max_size=64))
def test_any_numbers_survive(values: list[float]) -> None:
    exact = torch.tensor(values).view(2, 32)
    kinds = gguf.GGMLQuantizationType

    def through(kind: gguf.GGMLQuantizationType, dtype: Any) -> np.ndarray[Any, Any]:
        return gguf.quants.dequantize(
            np.frombuffer(quire.interop.gguf._numbers(exact, kind), dtype).reshape(2, -1), kind
        )

    np.testing.assert_array_equal(through(kinds.F32, np.float32), exact.numpy())
    np.testing.assert_array_equal(through(kinds.BF16, np.uint8), exact.to(torch.bfloat16).float().numpy())
    step = exact.abs().amax(1, keepdim=True).numpy() / 127
    smallest = 2.0**-24  # a step below 2^-14 has fewer bits, and ends at this
    bound = step * (0.5 + 127 * 2**-11) + 127 * smallest / 2
    assert (np.abs(through(kinds.Q8_0, np.uint8) - exact.numpy()) <= bound).all()


def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = made(tmp_path)
    out = tmp_path / "model.gguf"
    with pytest.raises(UsageError, match="no such folder"):
        export_gguf(tmp_path / "none", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"config.json: no such file. Is this the folder of a model or a run\?"):
        export_gguf(tmp_path / "empty", out)
    with pytest.raises(UsageError, match="this is a folder"):
        export_gguf(run, tmp_path)
    with pytest.raises(UsageError, match="'q4' is not one of f32, bf16, q8_0"):
        export_gguf(run, out, "q4")  # type: ignore[arg-type]
    out.write_text("mine")
    with pytest.raises(UsageError, match=r"a file is there already\. Replace it by --overwrite"):
        export_gguf(run, out)
    with pytest.raises(UsageError, match="what is there is no GGUF file: it is not replaced"):
        export_gguf(run, out, overwrite=True)
    assert out.read_text() == "mine"
    out.write_text("GGUF, mine")

    def broken(tensor: torch.Tensor, type: object) -> memoryview:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(quire.interop.gguf, "_numbers", broken)
        with pytest.raises(QuireError, match=r"No space left on device\. Free some disk space"):
            export_gguf(run, out, overwrite=True)
    assert out.read_text() == "GGUF, mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "model.gguf", "run"]
    export_gguf(run, out, overwrite=True)
    assert read(out)[0]["general.name"] == "run"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = made(tmp_path)
    opened = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda handle, mode, **more: opened(os.open("/dev/full", os.O_WRONLY), mode))
    with pytest.raises(QuireError, match="No space left on device"):
        export_gguf(run, tmp_path / "model.gguf")


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    model, me = make_model(BPE), os.geteuid()
    (tmp_path / "closed").mkdir(mode=0o500)
    try:
        if me == 0:
            os.seteuid(65534)  # root may write anywhere
        with pytest.raises(QuireError, match=r"Permission denied\. Check the permissions"):
            write_gguf(tmp_path / "closed" / "model.gguf", model, BPE, "f32", name="closed")
    finally:
        os.seteuid(me)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_integers_are_not_taken_for_numbers(tmp_path: Path, kind: str) -> None:
    _, model = made(tmp_path)
    with pytest.raises(UsageError, match=f"the weights are {kind}"):
        write_gguf(tmp_path / "model.gguf", load_weights(model, kind), BPE, "f32", name="run")
    assert not (tmp_path / "model.gguf").exists()


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = make_model(BPE)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = torch.nan
    with pytest.raises(QuireError, match=r"blk.1.ffn_up.weight holds numbers that are not finite"):
        write_gguf(tmp_path / "model.gguf", model, BPE, "f32", name="broken")
    assert not list(tmp_path.iterdir())


def split(*steps: Any, ignore_merges: bool = False) -> str:
    backend = Backend(models.BPE(ignore_merges=ignore_merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(list(steps)) if len(steps) > 1 else steps[0]
    return splitter_name(json.loads(backend.to_str()))


def test_a_tokenizer_is_named_by_how_it_splits() -> None:
    from tokenizers import Regex

    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    qwen, llama = (
        pre_tokenizers.Split(Regex(each), "isolated")
        for each in (quire.interop.gguf.SPLIT_PATTERN, quire.interop.gguf.LLAMA3_PATTERN)
    )
    assert splitter_name(BPE.content()) == split(qwen, last) == "qwen2"
    assert split(llama, last, ignore_merges=True) == "llama-bpe"
    assert split(pre_tokenizers.ByteLevel(add_prefix_space=False)) == "gpt-2"
    for steps, ignore in (
        ((qwen, last), True),
        ((llama, last), False),
        ((pre_tokenizers.ByteLevel(add_prefix_space=True),), False),
        ((pre_tokenizers.Digits(), last), False),
        ((pre_tokenizers.Split(Regex(r"\w+"), "isolated"), last), False),
        ((qwen, qwen, last), False),
        ((pre_tokenizers.Whitespace(),), False),
    ):
        with pytest.raises(FormatError, match=r"llama\.cpp knows no tokenizer that splits text in this way"):
            split(*steps, ignore_merges=ignore)


class Llama:
    """llama.cpp with a GGUF file: what it makes of a text, and what it writes greedily, in float32 throughout."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self.llama = llama_cpp
        settings = {"n_ctx": 128, "n_threads": 1, "n_threads_batch": 1, "verbose": False, "type_k": 0, "type_v": 0}
        self.model = llama_cpp.Llama(str(path), **settings)

    def encode(self, text: str) -> list[int]:
        return list(
            self.model.tokenize(text.encode(), add_bos=True, special=False)
        )  # what the file says of a first one

    def write(self, prompt: list[int], tokens: int) -> list[int]:
        self.model.reset()
        written: list[int] = []
        for _ in range(tokens):
            self.model.eval(written[-1:] or prompt)
            logits = self.llama.llama_get_logits(self.model.ctx)
            written.append(int(np.ctypeslib.as_array(logits, (self.model.n_vocab(),)).argmax()))
        return written


@pytest.mark.parametrize("tokenizer", [BPE, Tokenizer.byte()], ids=["bpe", "byte"])
def test_llama_cpp_cuts_texts_into_the_same_tokens(tmp_path: Path, tokenizer: Tokenizer) -> None:
    pytest.importorskip("llama_cpp")
    run, _ = made(tmp_path, tokenizer)
    llama = Llama(export_gguf(run, tmp_path / "model.gguf").path)
    for text in TEXTS:
        assert llama.encode(text) == tokenizer.encode(text), text


@pytest.mark.parametrize("variant", VARIANTS)
def test_llama_cpp_writes_the_same_tokens(tmp_path: Path, variant: str) -> None:
    pytest.importorskip("llama_cpp")
    run, _ = made(tmp_path, **VARIANTS[variant])
    llama = Llama(export_gguf(run, tmp_path / "model.gguf").path)
    language = load(run, "cpu")
    prompt = TEXTS[0][:30]
    (ours,) = language.generate(prompt, SamplingSettings(temperature=0, max_tokens=64))
    assert len(ours.tokens) == 64
    assert len(set(ours.tokens)) > 8
    assert llama.write(language.tokenizer.encode(prompt), 64) == ours.tokens
