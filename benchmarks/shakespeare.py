"""How well does a small model of one text do after two minutes on this machine?

    python benchmarks/shakespeare.py --data tinyshakespeare.txt --seconds 115 --out RUN

The first 90 % of the characters train, the last 10 % validate, all of them. The seconds are wall clock of the whole
process, from its start: imports, tokenizer, measuring, compiling, training; only the final scoring comes after. The
settings are those that the plan chooses for the corpus, this machine and the time; `--set` fixes any of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from quire.corpus.store import CorpusDocument
from quire.documents.document import Document


@dataclass(frozen=True)
class OneText:
    """A corpus of one document, as `prepare` takes it."""

    text: str
    source: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def num_bytes(self) -> int:
        return len(self.text.encode())

    @property
    def num_documents(self) -> int:
        return 1

    def documents(self) -> Iterator[CorpusDocument]:
        yield CorpusDocument(0, self.document(0))

    def document(self, id: int) -> Document:
        return Document(self.text, self.source, "text/plain", self.fingerprint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the text")
    parser.add_argument(
        "--seconds", type=float, default=115.0, help="wall clock of the process without the final scoring"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the run folder; what a former run left there is replaced"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="fix a setting of the plan")
    parser.add_argument("--json-out", type=Path, help="also write the result here")
    args = parser.parse_args()
    began = psutil.Process().create_time()
    # What earlier runs compiled is not used: compiling is part of the time.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="shakespeare-")

    from quire.evaluation import score_split
    from quire.files import write_text
    from quire.interop.huggingface import load_model_folder
    from quire.model.size import count_parameters
    from quire.settings import merge, with_assignments
    from quire.tokens.shards import prepare
    from quire.tokens.split import SplitPlan
    from quire.training.config import save_config
    from quire.training.draft import describe
    from quire.training.machine import measure_machine
    from quire.training.pace import time_step
    from quire.training.plan import plan_run, plan_tokens
    from quire.training.plan_shape import Sizes
    from quire.training.plots import draw
    from quire.training.run_folder import tokens_folder
    from quire.training.trainer import Trainer

    text = args.data.read_text("utf-8")
    cut = len(text) * 9 // 10
    # The time is for training: no samples, no checkpoints on the way, evaluations on a few thousand tokens.
    lean = {"training": {"sample_tokens": 0, "patience": 0, "checkpoint_interval": 10**9, "evaluation_tokens": 8192}}
    given = with_assignments(lean, args.set)
    if args.out.exists():
        shutil.rmtree(args.out)
    corpus = OneText(text, args.data.name)
    token_plan = plan_tokens(corpus.num_bytes, given)
    data = prepare(
        corpus, tokens_folder(args.out), token_plan[0], split=SplitPlan({0: cut}, "the last tenth validates")
    )
    sizes = Sizes(data.train.num_tokens, data.train.num_bytes, data.validation.num_tokens, data.tokenizer.vocab_size)
    machine = measure_machine()
    # Two seconds for the measurement to come, and one for the evaluation and the checkpoint at the end of training.
    left = args.seconds - (time.time() - began) - 3.0
    given = merge(given, {"training": {"minutes": left / 60, "evaluation_tokens": 4096}})
    config, reasons = plan_run(
        sizes, machine, given, token_plan, lambda model, rows, kind: time_step(model, rows, kind, machine.device)
    )
    left = args.seconds - (time.time() - began) - 1.0
    config = config.model_copy(update={"training": config.training.model_copy(update={"minutes": left / 60})})
    save_config(args.out, config, reasons, {"text": args.data.name})
    for key, value, reason in describe(config, reasons):
        print(f"{key:32} {value:>12}  {reason}")

    def show(record: dict[str, object]) -> None:
        if record["kind"] in ("note", "validation"):
            print(record, flush=True)

    state = Trainer(args.out, config, data, show).run()
    spent = time.time() - began

    model, tokenizer = load_model_folder(args.out, config.training.device)
    characters = len(text) - cut
    context = config.model.context_length
    result = {
        "validation_nats_per_character": score_split(model, tokenizer, data.validation).nats / characters,
        "with_half_a_window_of_context": score_split(model, tokenizer, data.validation, stride=context // 2).nats
        / characters,
        "characters_scored": characters,
        "seconds": round(spent, 1),
        "steps": state.step,
        "tokens": state.tokens,
        "epochs": round(state.tokens / data.train.num_tokens, 2),
        "parameters": count_parameters(config.model),
        "machine": machine.name,
    }
    draw(args.out)
    print(json.dumps(result, indent=1))
    shutil.rmtree(os.environ["TORCHINDUCTOR_CACHE_DIR"], ignore_errors=True)
    if args.json_out:
        write_text(args.json_out, json.dumps({**result, "config": config.model_dump(mode="json")}, indent=1) + "\n")


if __name__ == "__main__":
    main()
