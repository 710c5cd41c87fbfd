import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

from quire.errors import FormatError
from quire.interop.huggingface import load_model_folder, save_model_folder
from quire.model.config import ModelConfig
from quire.model.folder import keep_in_memory, read_model
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

TOKENIZER = Tokenizer.byte()
CONTEXT = 40
VARIANTS = {
    "tied": {"tie_embeddings": True},
    "untied": {"tie_embeddings": False},
    "every head its own keys": {"num_kv_heads": 4, "rope_theta": 500.0},
    "llama": {"qk_norm": False, "tie_embeddings": False},
}


def make_model(**changes: object) -> Transformer:
    torch.manual_seed(1)
    shape = {"vocab_size": TOKENIZER.vocab_size, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2}
    shape |= {"head_dim": 12, "intermediate_size": 56, "context_length": CONTEXT, "dropout": 0.1}
    return Transformer(ModelConfig.model_validate(shape | changes))


def randomise(model: Transformer) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((1.0 if parameter.dim() == 1 else 0.0) + 0.2 * torch.randn(parameter.shape))


def train_a_little(model: Transformer) -> None:
    text = torch.tensor([TOKENIZER.encode("It is a truth universally acknowledged. " * 3)[: CONTEXT + 1]] * 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(12):
        optimizer.zero_grad()
        (model.loss(text[:, :-1], text[:, 1:]) / text[:, 1:].numel()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def open_with_transformers(folder: Path) -> Any:
    """Open the folder as it is; any missing, unexpected or mismatched tensor is an error."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values()), report
    return model.eval()


@pytest.mark.parametrize("prepare", [randomise, train_a_little])
@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_opens_the_folder_and_gives_the_same_logits(
    tmp_path: Path, variant: str, prepare: Callable[[Transformer], None]
) -> None:
    model = make_model(**VARIANTS[variant])
    prepare(model)
    save_model_folder(tmp_path, model, TOKENIZER)
    model.eval()
    theirs = open_with_transformers(tmp_path)
    assert type(theirs).__name__ == ("LlamaForCausalLM" if variant == "llama" else "Qwen3ForCausalLM")
    for length in (1, 7, CONTEXT):
        tokens = torch.randint(0, 256, (2, length), generator=torch.Generator().manual_seed(length))
        with torch.no_grad():
            difference = (theirs(tokens).logits - model(tokens)).abs().max()
        assert float(difference) < 1e-4


def test_qwen3_itself_opens_the_folder_without_a_word(tmp_path: Path) -> None:
    model = make_model()
    save_model_folder(tmp_path, model, TOKENIZER)
    said: list[logging.LogRecord] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = said.append  # type: ignore[method-assign]
    logger = logging.getLogger("transformers")
    logger.addHandler(listener)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            theirs = transformers.Qwen3ForCausalLM.from_pretrained(tmp_path)
        assert not said
        transformers.LlamaForCausalLM.from_pretrained(tmp_path)  # another layout: now there is something to say
        assert said
    finally:
        logger.removeHandler(listener)
    assert theirs.dtype == torch.float32
    assert theirs.num_parameters() == model.num_parameters()
    assert theirs.generation_config.eos_token_id == TOKENIZER.end_of_text


def test_transformers_writes_greedily_what_the_logits_say(tmp_path: Path) -> None:
    model = make_model()
    train_a_little(model)
    save_model_folder(tmp_path, model, TOKENIZER)
    tokens = torch.tensor([TOKENIZER.encode("It is")])
    theirs = open_with_transformers(tmp_path).generate(tokens, do_sample=False, max_new_tokens=12)
    model.eval()
    with torch.no_grad():
        while tokens.shape[1] < theirs.shape[1]:
            tokens = torch.cat((tokens, model(tokens)[:, -1:].argmax(-1)), dim=1)
    assert theirs.tolist() == tokens.tolist()


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_then_loaded_is_the_same(tmp_path: Path, variant: str) -> None:
    model = make_model(**VARIANTS[variant])
    randomise(model)
    save_model_folder(tmp_path, model, TOKENIZER)
    state = torch.get_rng_state()
    loaded, tokenizer = load_model_folder(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded.config == model.config
    assert not loaded.training
    assert tokenizer.end_of_text == TOKENIZER.end_of_text
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["qwen3", "llama"])
@pytest.mark.parametrize("shards", ["1GB", "20KB"])
def test_a_folder_that_transformers_made_opens(tmp_path: Path, kind: str, tied: bool, shards: str) -> None:
    shape = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48, "max_position_embeddings": CONTEXT}
    shape |= {"rope_theta": 3000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": tied}
    torch.manual_seed(2)
    if kind == "qwen3":
        theirs: Any = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**shape))
    else:
        theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape))
    theirs.eval().save_pretrained(tmp_path, max_shard_size=shards)
    assert (tmp_path / "model.safetensors").exists() == (shards == "1GB")
    TOKENIZER.save(tmp_path)
    ours, _ = load_model_folder(tmp_path)
    tokens = torch.randint(0, 256, (2, 17))
    with torch.no_grad():
        assert float((theirs(tokens).logits - ours(tokens)).abs().max()) < 1e-4


def test_bfloat16_weights_are_read_as_float32(tmp_path: Path) -> None:
    model = make_model().to(torch.bfloat16)
    save_model_folder(tmp_path, model, TOKENIZER)
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"
    loaded, _ = load_model_folder(tmp_path)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    assert torch.equal(loaded.head_weight, model.head_weight.float())


@pytest.mark.skipif(sys.platform != "linux", reason="maps are read from /proc")
def test_mapped_weights_stay_in_the_file_and_what_is_written_into_them_does_not(tmp_path: Path) -> None:
    save_model_folder(tmp_path, make_model(), TOKENIZER)
    path = tmp_path / "model.safetensors"
    stored = path.read_bytes()

    def mapped(model: Transformer) -> set[bool]:
        maps = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
        ranges = [[int(end, 16) for end in line[0].split("-")] for line in maps if line[5:] == [str(path)]]
        return {any(start <= each.data_ptr() < end for start, end in ranges) for each in model.parameters()}

    assert mapped(load_model_folder(tmp_path)[0]) == {False}
    loaded = read_model(tmp_path, mapped=True)
    assert mapped(loaded) == {True}
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    train_a_little(loaded)
    assert path.read_bytes() == stored
    trained = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    save_model_folder(tmp_path, make_model(num_layers=1), TOKENIZER)  # another model takes its place
    assert all(torch.equal(tensor, trained[name]) for name, tensor in loaded.state_dict().items())
    keep_in_memory(loaded)
    assert mapped(loaded) == {False}
    assert all(torch.equal(tensor, trained[name]) for name, tensor in loaded.state_dict().items())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model_folder(tmp_path, make_model(), TOKENIZER)
    return tmp_path


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2'"),
        ({"model_type": None}, "model_type is None"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_hidden_layers": 3}, "missing, the first is model.layers.2"),
        ({"num_hidden_layers": 1}, "unknown.*model.layers.1"),
        ({"vocab_size": 300}, "embed_tokens.*shape"),
        ({"tie_word_embeddings": False}, "lm_head.weight"),
        ({"attention_bias": True}, "attention_bias"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 4}}, "linear"),
        ({"hidden_act": "gelu"}, "hidden_act"),
    ],
)
def test_a_folder_of_another_kind_is_refused_by_name(folder: Path, changes: dict[str, object], named: str) -> None:
    change_config(folder, **changes)
    with pytest.raises(FormatError, match=named) as caught:
        load_model_folder(folder)
    assert str(folder) in str(caught.value.where)


def test_missing_and_broken_files_are_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"model\.safetensors.*cut short"):
        load_model_folder(folder)
    weights.write_bytes(b"\x80\x02}q\x00.")  # a pickle
    with pytest.raises(FormatError, match="not a safetensors file"):
        load_model_folder(folder)
    weights.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(FormatError, match="safetensors files only"):
        load_model_folder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(FormatError, match="JSON"):
        load_model_folder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FormatError, match="no such file"):
        load_model_folder(folder)


def test_an_index_cannot_lead_out_of_the_folder(folder: Path) -> None:
    os.rename(folder / "model.safetensors", folder / "part.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "../part.safetensors"}}))
    with pytest.raises(FormatError, match="not a file of this folder"):
        load_model_folder(folder)
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "part.safetensors"}}))
    assert load_model_folder(folder)[0].config.num_layers == 2


def test_integers_are_no_weights(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(32, dtype=torch.int8)
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(FormatError, match=r"model\.norm\.weight holds torch\.int8"):
        load_model_folder(folder)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    small = make_model(vocab_size=100)
    with pytest.raises(FormatError, match="259 tokens and the model only 100"):
        save_model_folder(tmp_path, small, TOKENIZER)
    assert not list(tmp_path.iterdir())


def test_auto_tokenizer_agrees(folder: Path) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    text = "Zwölf Boxkämpfer, 12 €\n"
    assert theirs(text)["input_ids"] == TOKENIZER.encode(text)
    assert theirs.eos_token_id == TOKENIZER.end_of_text
