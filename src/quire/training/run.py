"""The whole way: folders or a corpus in, a trained run out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.corpus.build import ingest
from quire.corpus.origin import check_origin
from quire.corpus.progress import Progress
from quire.corpus.settings import IngestSettings
from quire.corpus.store import MANIFEST, Corpus
from quire.documents.sql import database_name, is_database
from quire.errors import UsageError
from quire.evaluation import Score, score_split
from quire.evaluation.baselines import Baselines, compare_dataset
from quire.files import write_text
from quire.interop.huggingface import load_model_folder
from quire.model.config import ModelConfig
from quire.settings import build, merge
from quire.tokens.dataset import TokenDataset
from quire.tokens.shards import prepare
from quire.training.checkpoint import list_checkpoints
from quire.training.compilation import History, load_history, remember
from quire.training.config import RunConfig, load_config, save_config
from quire.training.distributed import ALONE, Ranks, joined, restarted
from quire.training.draft import Reasons, check_groups
from quire.training.environment import record_start
from quire.training.journal import Listener
from quire.training.machine import check_device, measure_machine
from quire.training.memory import count_peak_from_here, peak_memory
from quire.training.optimizer import OptimizerSettings
from quire.training.pace import time_step
from quire.training.plan import orthogonal_precision, plan_run, plan_tokens
from quire.training.plan_ranks import check_profile, check_shard, for_ranks, of_all
from quire.training.plan_shape import Sizes
from quire.training.plots import draw
from quire.training.prediction import predict_run, tell_prediction
from quire.training.profile import profile_steps
from quire.training.report import write_report
from quire.training.run_folder import check_out, forget, is_own, mend_tokens, score_json, tokens_folder, writing
from quire.training.tensorboard import check_tensorboard, with_events
from quire.training.trainer import Trainer


@dataclass(frozen=True)
class TrainedRun:
    """What a finished run has to show.

    Args:
        folder: the run folder: a model folder that quire and transformers open.
        config: every setting it was made with.
        reasons: why each was chosen.
        score: the best model's score on the whole validation text.
        baselines: what the same text costs by xz and by n-grams.
        steps: optimizer steps taken.
        best_step: the step of the best model, which is the one kept in `folder`.
        seconds: training time over all resumptions.
        memory_bytes: the most that training had in use, since the run was started or resumed.
        plots: the pictures drawn.
        report: the report page.
    """

    folder: Path
    config: RunConfig
    reasons: Reasons
    score: Score
    baselines: Baselines
    steps: int
    best_step: int
    seconds: float
    memory_bytes: int
    plots: tuple[Path, ...]
    report: Path


def train(
    sources: Sequence[Path | str] | Path | str,
    out: Path | str,
    *,
    minutes: float | None = None,
    settings: Mapping[str, Any] | None = None,
    ingest_settings: IngestSettings | None = None,
    corpus: Path | str | None = None,
    overwrite: bool = False,
    profile: bool = False,
    shard: bool = False,
    listener: Listener | None = None,
    ingest_progress: Progress | None = None,
) -> TrainedRun:
    """Make a model of folders of documents, or of a corpus: ingest where needed, plan, train, draw, report.

    Args:
        sources: folders, files and databases as `quire.corpus.build.ingest` takes them, or one corpus folder.
        out: the run folder.
        minutes: training time; see `settings` for `training.steps` instead.
        settings: groups of settings to hold fixed, e.g. {"model": {"hidden_size": 256}}; the plan chooses the others.
        ingest_settings: how folders are read.
        corpus: where the corpus of the folders goes; default corpora/NAME in the working directory, NAME the run's.
        overwrite: replace a run that is there.
        profile: first find out where the time of a step goes; written to RUN/quire/profile, and told as "profile".
        shard: of the processes that torchrun started, each holds a slice of the model and not a copy.
        listener: is called with each record of metrics, and with those of kind "stage", "plan", "prediction", "note"
            and "sample".
        ingest_progress: is called as `quire.ingest` calls its `progress`.

    Raises:
        UsageError: a source is missing, a setting is wrong, or `out` holds something already.
        QuireError: there is too little text, the disk is full, the loss is not finite.
        KeyboardInterrupt: after Ctrl-C; what was done is kept, and `resume(out)` goes on.
    """
    run = Path(out)
    given = merge(settings or {}, {"training": {"minutes": minutes}} if minutes is not None else {})
    given = merge(given, {"training": {"shard": True}} if shard else {})

    with joined() as ranks, ranks.explained(run), contextlib.ExitStack() as held:
        tell = listener if listener and ranks.first else lambda record: None
        if ranks.lead(lambda: restarted() and is_own(run, overwrite=overwrite)):
            return _resume(run, tell, None, ranks, held, profile=profile)

        def planned() -> tuple[RunConfig, Reasons]:
            check_groups(given)
            check_device(given.get("training", {}).get("device"))
            check_tensorboard(given.get("training", {}).get("tensorboard", False))
            check_shard(given, ranks)
            check_profile(profile, ranks)
            check_out(run, overwrite=overwrite)
            opened = _corpus(sources, run, corpus, ingest_settings or IngestSettings(), ingest_progress, tell)
            held.enter_context(writing(run))
            # A run that is there is replaced when the new one is planned, not before: much can be wrong until then.
            staged = run / "quire" / "tokens.new"
            try:
                config, reasons = _plan(opened, staged, given, tell, ranks)
                foretold = predict_run(config, TokenDataset.open(staged))
                forget(run)
                staged.rename(tokens_folder(run))
            finally:
                shutil.rmtree(staged, ignore_errors=True)
            source = {"corpus": str(opened.path.resolve()), "fingerprint": opened.fingerprint}
            save_config(run, config, reasons, source, foretold.for_run_toml() if foretold else None)
            tell({"kind": "plan", "config": config, "reasons": reasons})
            tell_prediction(foretold, tell)
            return config, reasons

        config, reasons = ranks.lead(planned)
        data = TokenDataset.open(tokens_folder(run))
        return _train(run, config, reasons, data, tell, ranks, resume=False, profile=profile)


def plan_training(
    sources: Sequence[Path | str] | Path | str,
    out: Path | str,
    *,
    minutes: float | None = None,
    settings: Mapping[str, Any] | None = None,
    ingest_settings: IngestSettings | None = None,
    corpus: Path | str | None = None,
    listener: Listener | None = None,
    ingest_progress: Progress | None = None,
) -> tuple[RunConfig, Reasons]:
    """Return the plan that `train` would follow on this machine, with its reasons; nothing is trained.

    Folders are ingested as `train` does, so that the corpus is there for it. Tokens must be counted, so their shards
    are written to a temporary folder and deleted. Arguments and errors are those of `train`; `out` need not be free.
    """
    tell = listener or (lambda record: None)
    given = merge(settings or {}, {"training": {"minutes": minutes}} if minutes is not None else {})
    check_groups(given)
    check_device(given.get("training", {}).get("device"))
    opened = _corpus(sources, Path(out), corpus, ingest_settings or IngestSettings(), ingest_progress, tell)
    with tempfile.TemporaryDirectory(prefix="quire-plan-") as folder:
        config, reasons = _plan(opened, Path(folder) / "tokens", given, tell, ALONE)
        tell_prediction(predict_run(config, TokenDataset.open(Path(folder) / "tokens")), tell)
    return config, reasons


def resume(
    out: Path | str, *, shard: bool | None = None, profile: bool = False, listener: Listener | None = None
) -> TrainedRun:
    """Go on with a run that was interrupted, to weights bit-identical to those of an uninterrupted one.

    A run by the clock keeps the length that it had when it was interrupted, so resuming twice gives the same weights.
    The number of processes may be another than before: the windows come in the same order, in the same batches.

    Args:
        out: the run folder.
        shard: as for `train`; None leaves it as it was.
        profile: as for `train`.
        listener: as for `train`.

    Raises:
        FormatError: there is no run, no whole checkpoint, or its tokens are missing.
    """
    run = Path(out)
    with joined() as ranks, ranks.explained(run), contextlib.ExitStack() as held:
        tell = listener if listener and ranks.first else lambda record: None
        return _resume(run, tell, shard, ranks, held, profile=profile)


def _resume(
    run: Path, tell: Listener, shard: bool | None, ranks: Ranks, held: contextlib.ExitStack, *, profile: bool
) -> TrainedRun:
    def found() -> tuple[RunConfig, Reasons, bool]:
        check_profile(profile, ranks)
        config, reasons, source = load_config(run)
        check_device(config.training.device)
        check_tensorboard(config.training.tensorboard)  # here, where an error of rank 0 reaches all
        held.enter_context(writing(run))
        started = bool(list_checkpoints(run))
        if not started:
            text = "no checkpoint was written yet: training starts from its beginning"
            tell({"kind": "note", "step": 0, "text": text})
        mend_tokens(run, config.tokens, source, tell)
        return config, reasons, started

    config, reasons, started = ranks.lead(found)
    if shard is not None:
        config = config.model_copy(update={"training": config.training.model_copy(update={"shard": shard})})
    data = TokenDataset.open(tokens_folder(run))
    return _train(run, config, reasons, data, tell, ranks, resume=started, profile=profile)


def _corpus(
    sources: Sequence[Path | str] | Path | str,
    run: Path,
    place: Path | str | None,
    settings: IngestSettings,
    progress: Progress | None,
    tell: Listener,
) -> Corpus:
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    folders = [Path(source) for source in given if not is_database(source)]
    if len(folders) == len(given) == 1 and (folders[0] / MANIFEST).is_file():
        return Corpus.open(folders[0])
    for folder in folders:
        if not folder.exists():
            raise UsageError("no such file or folder", where=folder)
    corpus = Path(place) if place is not None else Path("corpora") / run.resolve().name
    if place is None:
        check_origin(given, corpus, option="--corpus")
    names = [database_name(str(source)) if is_database(source) else str(source) for source in given]
    tell({"kind": "stage", "text": f"Reading {', '.join(names)} into {corpus}"})
    account = ingest(given, corpus, settings, progress=progress)
    tell({"kind": "account", "account": account, "corpus": corpus})
    return Corpus.open(corpus)


def _plan(
    corpus: Corpus, tokens: Path, given: Mapping[str, Any], tell: Listener, ranks: Ranks
) -> tuple[RunConfig, Reasons]:
    tell({"kind": "stage", "text": "Learning the tokenizer and writing token shards"})
    token_plan = plan_tokens(corpus.num_bytes, given)
    data = prepare(corpus, tokens, token_plan[0])
    for note in data.notes:
        tell({"kind": "note", "step": 0, "text": note})
    sizes = Sizes(data.train.num_tokens, data.train.num_bytes, data.validation.num_tokens, data.tokenizer.vocab_size)
    tell({"kind": "stage", "text": "Measuring this machine and planning"})
    machine = measure_machine(given.get("training", {}).get("device"))
    moves = build(
        OptimizerSettings,
        {"orthogonal_precision": orthogonal_precision(machine, given), **given.get("optimizer", {})},
        where="optimizer",
    )

    speeds: dict[tuple[int, int, str], float] = {}  # tokens/s by width, blocks and number format

    def measure(model: ModelConfig, rows: int, precision: str) -> float:
        share = -(-rows // ranks.count)
        seconds = time_step(model, share, precision, machine.device, optimizer_settings=moves)
        speeds[model.hidden_size, model.num_layers, precision] = rows * model.context_length / seconds
        return seconds

    # What was compiled by a process alone was compiled for other batches, and without waiting for others.
    history = load_history() if ranks.count == 1 else History()
    config, reasons = plan_run(sizes, of_all(machine, ranks), given, token_plan, measure, history)
    eager = speeds.get((config.model.hidden_size, config.model.num_layers, config.training.precision))
    if config.training.compile and eager is not None and ranks.count == 1:
        remember(config, eager_speed=eager)
    return for_ranks(config, reasons, given, ranks)


def _train(
    run: Path,
    config: RunConfig,
    reasons: Reasons,
    data: TokenDataset,
    tell: Listener,
    ranks: Ranks,
    *,
    resume: bool,
    profile: bool,
) -> TrainedRun:
    if profile:
        tell({"kind": "stage", "text": "Measuring where the time of a step goes"})
        tell({"kind": "profile", "profile": profile_steps(run, config, data, tell)})
    count_peak_from_here(config.training.device)
    with with_events(run, config, tell, resumed=resume) if ranks.first else contextlib.nullcontext(tell) as listener:
        trainer = Trainer(run, config, data, listener, ranks)
        start = ranks.lead(lambda: record_start(run, config, resumed=resume, processes=ranks.count))
        if ranks.first:
            listener({"kind": "start", **start})
        state = trainer.run(resume=resume)
    peak = peak_memory(config.training.device)

    def closed() -> TrainedRun:
        tell({"kind": "stage", "text": "Scoring the best model on the whole validation text and drawing"})
        model, tokenizer = load_model_folder(run, config.training.device)
        score = score_split(model, tokenizer, data.validation)
        baselines = compare_dataset(data)
        save_score(run, score, baselines)
        plots = tuple(draw(run))
        report = write_report(run, config, reasons, score, state)
        steps = (state.step, state.best_step)
        return TrainedRun(run, config, reasons, score, baselines, *steps, state.seconds, peak, plots, report)

    return ranks.lead(closed)


def save_score(run: Path, score: Score, baselines: Baselines) -> None:
    """Write the closing score and the baselines. Raises `QuireError` where that cannot be done."""
    content = {
        "score": {
            "bits_per_byte": score.bits_per_byte,
            "nats_per_token": score.nats_per_token,
            "accuracy": score.accuracy,
            "tokens": score.tokens,
            "bytes": score.bytes,
        },
        "baselines": dataclasses.asdict(baselines),
    }
    write_text(score_json(run), json.dumps(content, indent=1) + "\n")
