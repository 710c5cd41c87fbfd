"""What each process of a job in test_distributed.py does: python ranks_at_work.py TASK FOLDER, under torchrun.

FOLDER holds `config.json` (a RunConfig) and `tokens`. What a task finds out is written to FOLDER/TASK.RANK.json.
"""

import json
import sys
from pathlib import Path

import torch

from quire.errors import QuireError, UsageError
from quire.settings import build, merge
from quire.tokens.dataset import TokenDataset
from quire.training.config import RunConfig
from quire.training.distributed import joined
from quire.training.trainer import Trainer


class Job:
    """One process of a job."""

    def __init__(self, folder, ranks):
        self.folder, self.ranks = folder, ranks
        self.values = json.loads((folder / "config.json").read_text())
        self.data = TokenDataset.open(folder / "tokens")

    def trainer(self, run, over):
        config = build(RunConfig, merge(self.values, over))
        return Trainer(self.folder / run, config, self.data, ranks=self.ranks)

    def weights(self, trainer):
        """The sums of all weights, of which a sharded rank has to gather its own."""
        return [
            float(trainer.parallel.ranks.add(float(p.detach().double().pow(2).sum()))[0])
            for p in trainer.model.parameters()
        ]

    def curves(self):
        """Copies and slices, both optimizers: 50 steps without dropout; the test compares their metrics."""
        for shard in (False, True):
            for kind in ("muon", "adamw"):
                again = {"activation_checkpointing": kind == "adamw"}
                over = {"training": {"shard": shard, **again}, "optimizer": {"kind": kind}}
                self.trainer(f"{kind}-{'slices' if shard else 'copies'}", over).run()
        return {}

    def formats(self):
        """Half of the digits in the products, and with slices also in what is gathered of them."""
        for shard in (False, True):
            over = {"training": {"shard": shard, "precision": "bfloat16"}}
            self.trainer(f"bfloat16-{'slices' if shard else 'copies'}", over).run()
        return {}

    def changes(self):
        """Resume what one process stopped, and stop for one process and for three to resume."""
        for shard in (False, True):
            over = {"training": {"shard": shard}}
            self.trainer(f"from-one-{shard}", over).run(resume=True)
            self.trainer(f"stopped-{shard}", over).run(stop_at=20)
        dropping = {"model": {"dropout": 0.1}, "training": {"shard": True, "steps": 12, "precision": "float16"}}
        whole = self.trainer("whole", dropping)
        whole.run()
        self.trainer("parts", dropping).run(stop_at=5)
        parts = self.trainer("parts", dropping)
        parts.run(resume=True)
        same = all(
            torch.equal(p.to_local(), q.to_local())
            for p, q in zip(whole.model.parameters(), parts.model.parameters(), strict=True)
        )
        return {"resumed is uninterrupted": same}

    def three(self):
        """Go on, as three, with what two stopped."""
        for shard in (False, True):
            self.trainer(f"to-three-{shard}", {"training": {"shard": shard}}).run(resume=True)
        return {}

    def messages(self):
        """Errors of any rank reach all; the clock of rank 0 is everybody's."""
        found = {}

        def fails():
            raise UsageError("the first one failed", where="here", hint="Do that")

        try:
            self.ranks.lead(fails)
        except UsageError as error:
            found["lead"] = str(error)

        def last_fails():
            if self.ranks.rank == self.ranks.count - 1:
                raise ValueError("a bug")
            return self.ranks.rank

        try:
            self.ranks.gather(last_fails)
        except (QuireError, ValueError) as error:
            found["gather"] = str(error)
        found["gathered"] = self.ranks.gather(lambda: self.ranks.rank * 10)
        found["sum"] = self.ranks.add(1.5, float(self.ranks.rank))
        timed = self.trainer("timed", {"training": {"minutes": 0.05, "sample_tokens": 0}})
        clock = timed._now
        timed._now = lambda: clock() * (1 + self.ranks.rank)  # each rank's clock goes at another speed
        state = timed.run()
        found["length"] = [state.step, state.total_steps, state.knots]
        found["threads"] = torch.get_num_threads()
        return found


if __name__ == "__main__":
    task, folder = sys.argv[1], Path(sys.argv[2])
    with joined() as ranks:
        found = {}
        for name in task.split(","):
            found |= getattr(Job(folder, ranks), name)()
        (folder / f"{task}.{ranks.rank}.json").write_text(json.dumps(found))
