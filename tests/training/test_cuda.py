"""The laws of training on an NVIDIA GPU; skipped where there is none, so CI does not run them."""

import json

import pytest
import torch

from quire.evaluation import score_split
from quire.interop.huggingface import load_model_folder
from quire.model.cache import KVCache
from quire.model.loss import summed_cross_entropy
from quire.training.metrics import read_metrics
from quire.training.profile import profile_steps
from quire.training.run import train
from quire.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
ON = {"device": "cuda"}
EXACT = {"model": {"dropout": 0.0}}


def losses(folder):
    return [record["loss"] for record in read_metrics(folder) if record["kind"] == "train"]


def flat(parameters):
    return torch.cat([p.detach().flatten().cpu() for p in parameters])


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_gpu_learns_what_a_cpu_learns(kind, run, config, data, tmp_path):
    """In float32 the two differ by rounding alone, which AdamW's fractions enlarge in the first steps."""
    over = {**EXACT, "optimizer": {"kind": kind}}
    Trainer(run, config(**over), data).run()
    Trainer(tmp_path / "gpu", config(**over, training=ON), data).run()
    assert losses(tmp_path / "gpu") == pytest.approx(losses(run), abs=1e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_16_bits_and_compiled_code_learn_the_same(precision, compile, run, config, data, tmp_path):
    told = []
    Trainer(run, config(**EXACT, training=ON), data).run()
    over = {**ON, "precision": precision, "compile": compile}
    Trainer(tmp_path / "other", config(**EXACT, training=over), data, told.append).run()
    assert losses(tmp_path / "other") == pytest.approx(losses(run), abs=0.05)
    assert not [record for record in told if record["kind"] == "note" and "compile" in record["text"]]


@pytest.mark.parametrize(
    ("kind", "precision", "compile", "graphs"),
    [
        ("muon", "bfloat16", True, False),
        ("muon", "float16", False, False),
        ("adamw", "bfloat16", False, False),
        ("muon", "float32", True, False),
        ("muon", "bfloat16", False, True),
        ("muon", "float16", True, True),
    ],
)
def test_resumed_is_uninterrupted_to_the_bit(kind, precision, compile, graphs, run, config, data, tmp_path):
    """Dropout is on, so the generator of the GPU is part of it."""
    over = {
        "optimizer": {"kind": kind},
        "training": {**ON, "precision": precision, "compile": compile, "cuda_graphs": graphs},
    }
    whole = Trainer(tmp_path / "whole", config(**over), data)
    whole.run()
    for stop in (3, 7):
        Trainer(run, config(**over), data).run(resume=stop > 3, stop_at=stop)
    resumed = Trainer(run, config(**over), data)
    resumed.run(resume=True)
    assert torch.equal(flat(whole.model.parameters()), flat(resumed.model.parameters()))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("rows", [4, 6])
def test_passes_recorded_as_a_graph_learn_the_same(precision, compile, rows, run, config, data, tmp_path):
    """Also with dropout, whose numbers come from the generator as they do without a graph."""
    told, trainers = [], []
    for folder, graphs in ((run, False), (tmp_path / "graphs", True)):
        over = {**ON, "precision": precision, "compile": compile, "micro_batch_size": rows, "cuda_graphs": graphs}
        trainers.append(Trainer(folder, config(**EXACT, training=over), data, told.append))
        trainers[-1].run()
    assert losses(tmp_path / "graphs") == pytest.approx(losses(run), abs=1e-4)
    assert trainers[1].passes.graphs
    assert len(trainers[1].passes._recorded) == 1
    assert not [record for record in told if record["kind"] == "note"]


@pytest.mark.parametrize("rows", [1, 4, 5])
def test_accumulated_gradients_are_those_of_the_one_big_batch(rows, run, config, data):
    gradients = []
    for micro in (6, rows):
        trainer = Trainer(run, config(**EXACT, training={**ON, "micro_batch_size": micro}), data)
        for _ in range(3):
            trainer.step()
        trainer.passes.zero_gradients()
        trainer.gradients(trainer.batches.next_batch())
        gradients.append(flat(p.grad for p in trainer.model.parameters()))
    # Three steps were taken with either, so what differs is a little more than one batch's rounding.
    assert (gradients[0] - gradients[1]).norm() / gradients[0].norm() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_in_chunks_is_the_loss_of_the_whole(dtype):
    torch.manual_seed(1)
    hidden = torch.randn(300, 64, device="cuda")
    weight = torch.randn(1000, 64, device="cuda") / 8
    targets = torch.randint(1000, (300,), device="cuda")
    targets[::7] = -100
    found = []
    for rows in (300, 77):
        h, w = (t.clone().requires_grad_() for t in (hidden, weight))
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            loss = summed_cross_entropy(h, w, targets, rows=rows)
        loss.backward()
        found.append((loss.detach().reshape(1), h.grad, w.grad))
    for whole, chunked in zip(*found, strict=True):
        assert (whole - chunked).norm() / whole.norm() < (1e-5 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("graphs", [False, True], ids=["each kernel by itself", "graphs"])
def test_memory_that_really_runs_out_halves_the_micro_batch(graphs, run, config, data):
    """This process may take 3 GiB of the card, and 2,048 windows of 32 tokens keep more than that."""
    told = []
    over = {
        **ON,
        "batch_size": 2048,
        "micro_batch_size": 2048,
        "steps": 2,
        "evaluation_interval": 2,
        "cuda_graphs": graphs,
    }
    wide = {"dropout": 0.0, "hidden_size": 512, "num_heads": 8, "num_kv_heads": 8, "num_layers": 4}
    trainer = Trainer(run, config(model=wide, training=over), data, told.append)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (3 << 30)) / total)
    try:
        trainer.run()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert 0 < trainer.state.micro_batch_size < 2048
    assert any("memory ran out" in record["text"] for record in told if record["kind"] == "note")


def test_the_whole_way_takes_the_gpu_by_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(8):
        lines = [f"Sheet {i} of book {number} is folded {i * number % 7} times and sewn." for i in range(200)]
        (texts / f"{number}.txt").write_text("\n".join(lines), "utf-8")
    told = []
    done = train(texts, tmp_path / "run", minutes=0.1, listener=told.append)
    assert torch.device(done.config.training.device).type == "cuda"
    environment = json.loads((tmp_path / "run/quire/environment.jsonl").read_text("utf-8").splitlines()[0])
    assert "NVIDIA" in environment["gpu"]
    assert done.memory_bytes > 0
    figures = [record for record in read_metrics(tmp_path / "run") if record["kind"] == "train"]
    assert all(0 < record["share"] < 1 for record in figures)
    on_gpu = load_model_folder(tmp_path / "run", "cuda")[0]
    assert on_gpu.cos.device.type == "cuda"


def test_cached_logits_are_those_without_a_cache(run, config, data):
    Trainer(run, config(**EXACT, training=ON), data).run()
    model, tokenizer = load_model_folder(run, "cuda")
    tokens = torch.randint(tokenizer.vocab_size, (2, 24), device="cuda")
    with torch.inference_mode():
        plain = model(tokens)
        cache = KVCache(model.config, 2, capacity=24, device=model.cos.device)
        pieces = [model(tokens[:, :10], cache=cache), *(model(tokens[:, [i]], cache=cache) for i in range(10, 24))]
    assert torch.allclose(torch.cat(pieces, 1), plain, atol=1e-4)


def test_the_score_is_that_of_a_cpu(run, config, data):
    Trainer(run, config(**EXACT, training=ON), data).run()
    found = [score_split(*load_model_folder(run, device), data.validation).nats_per_token for device in ("cpu", "cuda")]
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_profile_is_made(run, config, data):
    profile = profile_steps(run, config(training={**ON, "precision": "bfloat16"}), data, lambda record: None)
    assert profile
