"""Passes forward and back; as CUDA graphs they are tested in test_cuda.py, which needs a GPU."""

import torch

from quire.training.graphed import Passes
from quire.training.precision import MixedPrecision
from quire.training.trainer import Trainer


def test_graphs_that_no_cpu_has_change_nothing(run, config, data, tmp_path):
    told = []
    trainers = [
        Trainer(folder, config(training={"cuda_graphs": graphs}), data, told.append)
        for folder, graphs in ((run, False), (tmp_path / "graphs", True))
    ]
    for trainer in trainers:
        trainer.run()
    for ours, theirs in zip(*(trainer.model.parameters() for trainer in trainers), strict=True):
        assert torch.equal(ours, theirs)
    assert not [record for record in told if record["kind"] == "note"]


def test_a_pass_adds_its_share_of_the_gradient_and_they_are_forgotten_on_demand():
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    passes = Passes(
        lambda x, y: (weight * x - y).square().sum(),
        [weight],
        MixedPrecision("float32", "cpu"),
        graphs=True,
        note=print,
    )
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])
    losses = [passes.run(part_x, part_y, 4) for part_x, part_y in zip(x.split(1), y.split(1), strict=True)]
    assert [loss.item() for loss in losses] == [4.0, 25.0]
    assert not losses[0].requires_grad
    assert weight.grad.item() == (2 * 2 * 1 + 2 * 5 * 2) / 4
    passes.zero_gradients()
    assert weight.grad is None
