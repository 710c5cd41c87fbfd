"""The gradient of all parameters together is scaled to the norm that it may have, and keeps its direction."""

import pytest
import torch

from quire.training.trainer import Trainer


@pytest.mark.parametrize("share", [0.25, 0.999, 1.001, 100.0])
def test_a_long_gradient_is_scaled_to_the_norm_and_a_short_one_is_left(share, run, config, data):
    """`share` is the norm that is allowed, as a part of the norm that is there."""
    trainer = Trainer(run, config(), data)
    batch = trainer.batches.next_batch()
    trainer.gradients(batch)
    before = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
    allowed = share * float(before.norm())
    trainer = Trainer(run, config(optimizer={"max_grad_norm": allowed}), data)
    trainer.gradients(batch)
    norm = trainer._clip()
    after = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
    assert float(norm) == pytest.approx(float(before.norm()), rel=1e-5)  # the norm before is what is told
    assert float(after.norm()) == pytest.approx(min(1, share) * float(before.norm()), rel=1e-4)
    assert torch.nn.functional.cosine_similarity(before, after, dim=0) == pytest.approx(1, abs=1e-5)
