"""The picture of the page "Watching and comparing runs": three runs of 400 steps on examples/library.

C="--steps 400 --set model.context_length=64 --set training.batch_size=16 --set training.log_interval=4
   --set training.evaluation_interval=50 --set training.compile=false --set training.threads=1"
quire train corpora/library --out runs/muon-64 $C --set model.hidden_size=64 --set model.num_layers=3
quire train corpora/library --out runs/adamw-64 $C --set model.hidden_size=64 --set model.num_layers=3 \
  --set optimizer.kind=adamw
quire train corpora/library --out runs/muon-128 $C --set model.hidden_size=128 --set model.num_layers=4
python docs/images/make.py --take muon-64 runs/muon-64 adamw-64 runs/adamw-64 muon-128 runs/muon-128
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from quire.training.compare import compare

RUNS = Path(__file__).resolve().parents[1] / "runs"
COMPARED = ("muon-64", "adamw-64", "muon-128")


def draw(folder: Path) -> list[Path]:
    """Draw the picture of the page into `folder` and return the file."""
    with tempfile.TemporaryDirectory() as drawn:
        compare([RUNS / name for name in COMPARED], Path(drawn))
        return [Path(shutil.copyfile(Path(drawn) / "bits-per-byte.svg", folder / "runs-compared.svg"))]
