"""The plan: from the corpus, this machine and the minutes given to every hyperparameter, each with its reason.

Two stages, since the tokenizer comes before the tokens can be counted: `plan_tokens` looks at the size of the corpus,
`plan_run` at the token counts, the measured speed of this machine and the time. What the user has set is taken as it
is, and what depends on it follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from quire.model.config import ModelConfig
from quire.model.size import count_parameters
from quire.settings import build
from quire.tokens.settings import TokenSettings
from quire.training.compilation import Forecast, History
from quire.training.config import RunConfig
from quire.training.draft import Draft, Reasons, check_groups
from quire.training.length import steps_for
from quire.training.machine import Machine
from quire.training.memory import USABLE, in_words, predict_memory
from quire.training.plan_compile import plan_compile
from quire.training.plan_shape import PARAMETERS_PER_BYTE, Sizes, choose_shape, config_flops, model_config

# Share of the machine's matrix-product rate that training is first assumed to reach (35 to 54 % of float32 were seen,
# see docs/benchmarks.md); a measurement then takes its place.
ASSUMED_SHARE = 0.4
# At most so many shapes are timed, each on steps that should take at most so many seconds.
MEASUREMENTS = 3
# Times that a corpus is seen from which dropout pays, at a million parameters: about 9.6 at 0.5M, 6.1 at 3.2M (sweep).
DROPOUT_TIMES = 8.0
MEASURED_SECONDS = 0.5
# A run that would have fewer steps gets smaller ones. In the sweep half the batch at 270 and 290 steps of 3M parameters
# gave 3.0 and 3.8 % fewer bits per byte from the same tokens, at 500 steps of a 0.5M model 0.3 to 1.4 %. What Muon
# computes for a step stays the same: the first halving costs a tenth of the tokens, the second a sixth.
FEWEST_STEPS, MOST_HALVINGS = 350, 2
# Parameters times the times that the text was seen, for each byte of it: in the sweep, models of 3M and 10M parameters
# on 0.3 and 1 MB began to get worse on text they had not seen at 80 to 120; none did below (docs/decisions.md). A text
# for which even the smallest model is large is seen as often as one that has the largest it may have.
PARAMETER_EPOCHS_PER_BYTE = 100.0
FEWEST_EPOCHS = PARAMETER_EPOCHS_PER_BYTE / PARAMETERS_PER_BYTE

Measure = Callable[[ModelConfig, int, str], float]
"""(model, windows, precision) -> seconds of one training step on so many windows of the model's context."""


def plan_tokens(corpus_bytes: int, given: Mapping[str, Any]) -> tuple[TokenSettings, Reasons]:
    """Choose tokenizer and split for a corpus of `corpus_bytes` bytes of text.

    Raises:
        UsageError: a value that was given is out of bounds.
    """
    draft = Draft({"tokens": given.get("tokens", {})})
    kind = draft.choose("tokens.tokenizer", "bpe", "learned pieces of words: more text in each token than bytes hold")
    if kind == "bpe":
        vocabulary = vocabulary_for(corpus_bytes)
        draft.choose(
            "tokens.vocab_size",
            vocabulary,
            f"{corpus_bytes:,} bytes of text: each token must be seen often enough to be learned",
        )
    return build(TokenSettings, draft.values["tokens"], where="tokens"), draft.reasons


def vocabulary_for(corpus_bytes: int) -> int:
    """Return the vocabulary size for a corpus of so many bytes, a power of two from 512 to 32,768."""
    exponent: int = min(15, max(9, round(math.log2(max(1, corpus_bytes)) / 2) - 1))
    return 1 << exponent


def plan_run(
    sizes: Sizes,
    machine: Machine,
    given: Mapping[str, Any],
    tokens: tuple[TokenSettings, Reasons],
    measure: Measure | None = None,
    history: History | None = None,
) -> tuple[RunConfig, Reasons]:
    """Choose everything else.

    Args:
        sizes: token counts.
        machine: what was measured of it.
        given: settings of the user by group; what is in it stands.
        tokens: what `plan_tokens` gave.
        measure: times a real training step; None trusts an assumed share of the machine's matrix-product rate.
        history: what compiling took on this machine; None trusts what is usual.

    Raises:
        UsageError: a value that was given is unknown, out of bounds, or does not go with another.
    """
    check_groups(given)
    settings, reasons = tokens
    draft = Draft({**given, "tokens": settings.model_dump()})
    draft.reasons = {**draft.reasons, **{f"tokens.{key}": "default" for key in settings.model_dump()}, **reasons}
    draft.choose("training.device", machine.device, f"the fastest device here ({machine.name})")
    if "steps" in given.get("training", {}):
        draft.choose("training.minutes", None, "the number of steps was set, so no time is")
    minutes = draft.choose("training.minutes", 10.0, "default")
    seconds = None if minutes is None else float(minutes) * 60
    budget = seconds if seconds is not None else 600.0  # without a time, the shape is that of a ten-minute run

    rates = {name: rate * 1e9 for name, rate in machine.gflops.items()}
    precision = given.get("training", {}).get("precision") or _fastest(rates)
    flops = rates.get(precision, rates["float32"]) * ASSUMED_SHARE * budget
    shape, why = choose_shape(sizes, flops)
    precision_reason = f"the fastest matrix products here: {_rates(machine)}"
    pace: float | None = None
    if measure is not None and _measurable(draft):
        candidates = [precision] if "precision" in given.get("training", {}) else _candidates(rates)
        # The share of the rate that training reaches depends on the shape, and the shape on it: until they agree.
        for _ in range(MEASUREMENTS):
            config = model_config(draft, shape, sizes, why, commit=False)
            config, rows = _affordable(config, draft, flops, budget)
            timed = {name: measure(config, rows, name) for name in candidates}
            precision = min(timed, key=timed.__getitem__)
            speeds = {name: rows * config.context_length / time for name, time in timed.items()}
            pace = config_flops(config) * speeds[precision]
            flops = pace * budget
            before, (shape, why) = shape, choose_shape(sizes, flops)
            if shape == before:
                break
        precision_reason = "the fastest in a short measurement of training steps: " + ", ".join(
            f"{name} {speed:,.0f} tokens/s" for name, speed in speeds.items()
        )
    draft.choose("training.precision", precision, precision_reason)
    model = model_config(draft, shape, sizes, why, commit=True)
    if seconds is not None:
        epochs = _plan_epochs(draft, model, sizes)
        if epochs is not None:
            seconds = min(seconds, epochs * sizes.train_tokens * config_flops(model) * budget / flops)

    def follow(target: Draft, forecast: Forecast | None) -> None:
        usable = flops
        if forecast is not None:
            usable = flops * forecast.gain * max(0.1, 1 - forecast.seconds / budget)
        rate = f"{'measured' if pace else 'assumed'} {flops / budget / 1e9:,.0f} GFLOP/s of training"
        run_tokens = usable / config_flops(model)
        _plan_batch(target, model, machine, sizes, run_tokens)
        _plan_length(target, model, sizes, run_tokens, rate)
        _plan_optimizer(target, model, machine)
        _plan_regularization(target, model, sizes)
        _plan_watching(target, sizes)

    follow(draft, plan_compile(draft, machine, seconds, history or History(), follow))
    return build(RunConfig, draft.values, where="plan"), draft.reasons


def _affordable(config: ModelConfig, draft: Draft, flops: float, budget: float) -> tuple[ModelConfig, int]:
    """Return the model and the windows to time a step on: the batch of the run, or less where that would take long."""
    of_run = flops / config_flops(config)
    tokens = max(64, min(_batch_tokens(draft, config, of_run), int(of_run * MEASURED_SECONDS / budget)))
    context = min(config.context_length, tokens)
    rows = draft.values.get("training", {}).get("batch_size") or tokens
    return config.model_copy(update={"context_length": context}), max(1, min(rows, tokens // context))


def _fastest(rates: Mapping[str, float]) -> str:
    return max(_candidates(rates), key=lambda name: rates[name])


def _candidates(rates: Mapping[str, float]) -> list[str]:
    """float32, and the 16-bit formats whose products are faster by half or more; bfloat16 needs no loss scale."""
    faster = [name for name in ("bfloat16", "float16") if rates.get(name, 0) >= 1.5 * rates["float32"]]
    return ["float32", *faster[:1]]


def orthogonal_precision(machine: Machine, given: Mapping[str, Any] | None = None) -> str:
    """Return the number format for Muon's orthogonalization on this machine: bfloat16 where its products are faster.

    Args:
        machine: what was measured of it.
        given: settings of the user by group; who sets float32 for training gets it here too.
    """
    set_by_user = (given or {}).get("training", {}).get("precision")
    return "bfloat16" if set_by_user != "float32" and "bfloat16" in _candidates(machine.gflops) else "float32"


def _rates(machine: Machine) -> str:
    return ", ".join(f"{name} {rate:,.0f} GFLOP/s" for name, rate in machine.gflops.items())


def _measurable(draft: Draft) -> bool:
    """A measurement serves where something is left to decide by it: the shape, the precision or the steps."""
    set_by_user = draft.values.get("model", {})
    training = draft.values.get("training", {})
    return not ({"hidden_size", "num_layers"} <= set(set_by_user) and {"precision", "steps"} <= set(training))


def batch_tokens(model: ModelConfig, run_tokens: float | None = None) -> int:
    """Return about how many tokens a step should have: 2,048 at 0.8M parameters, 8,200 at 10M; fewer in a short run.

    Args:
        model: its shape.
        run_tokens: of the whole run; None: enough for many steps.
    """
    tokens: float = 2048 * (max(count_parameters(model), 800_000) / 800_000) ** 0.55
    for _ in range(MOST_HALVINGS):
        if run_tokens is not None and run_tokens < FEWEST_STEPS * tokens:
            tokens /= 2  # and nothing between, so that what was compiled serves runs of other lengths too
    return round(tokens)


def _batch_tokens(draft: Draft, model: ModelConfig, run_tokens: float) -> int:
    """Return `batch_tokens` of a run of so many tokens; the usual ones where steps or batch were set."""
    is_set = {"steps", "batch_size"} & set(draft.values.get("training", {}))
    return batch_tokens(model, None if is_set else run_tokens)


def _plan_batch(draft: Draft, model: ModelConfig, machine: Machine, sizes: Sizes, run_tokens: float) -> None:
    t = draft.values["training"]
    tokens, why = batch_tokens(model), "larger models have less noisy use for more"
    most = t.get("max_epochs")
    seen = run_tokens if most is None else min(run_tokens, most * sizes.train_tokens)
    fewer = _batch_tokens(draft, model, seen)
    if fewer < tokens:
        why = f"{tokens:,} are usual for the size, but would make fewer than {FEWEST_STEPS} steps"
        tokens = fewer
    rows = max(1, round(tokens / model.context_length))
    rows = draft.choose("training.batch_size", rows, f"about {tokens:,} tokens a step: {why}")
    _plan_memory(draft, model, machine, rows)


def _plan_memory(draft: Draft, model: ModelConfig, machine: Machine, rows: int) -> None:
    """Choose the largest micro-batch that fits, and activation checkpointing where not even one window fits."""
    t = draft.values["training"]
    kind = "cuda" if t["device"].startswith("cuda") else "cpu"
    usable = USABLE[kind] * machine.memory_bytes

    def needed(micro: int, checkpointing: bool) -> int:
        return predict_memory(
            model,
            micro,
            device=t["device"],
            precision=t["precision"],
            optimizer=draft.values.get("optimizer", {}).get("kind", "muon"),
            checkpointing=checkpointing,
            compiled=t["compile"],
        )

    on = draft.choose(
        "training.activation_checkpointing",
        needed(1, False) > usable,
        "not even one window fits the memory without it" if needed(1, False) > usable else "everything fits without it",
    )
    if kind == "cuda":
        draft.choose(
            "training.cuda_graphs",
            not on,
            "the kernels of a pass are recorded once and started together"
            if not on
            else "passes that compute blocks again cannot be recorded",
        )
    micro = rows
    while micro > 1 and needed(micro, on) > usable:
        micro = -(-micro // 2)  # halves leave passes of one size
    why = "the whole batch at once" if micro == rows else "as much of it at once as fits"
    micro = draft.choose("training.micro_batch_size", micro, why)
    draft.reasons["training.micro_batch_size"] += f"; {in_words(needed(min(micro, rows), on), machine.memory_bytes)}"


def _plan_epochs(draft: Draft, model: ModelConfig, sizes: Sizes) -> float | None:
    parameters = count_parameters(model)
    epochs = max(FEWEST_EPOCHS, PARAMETER_EPOCHS_PER_BYTE * sizes.train_bytes / parameters)
    chosen: float | None = draft.choose(
        "training.max_epochs",
        round(epochs, 1),
        f"seen more often, {sizes.train_bytes:,} bytes are learned by heart by {parameters:,} parameters",
    )
    return chosen


def _plan_length(draft: Draft, model: ModelConfig, sizes: Sizes, run_tokens: float, rate: str) -> None:
    step_tokens = draft.values["training"]["batch_size"] * model.context_length
    steps = max(1, int(run_tokens / step_tokens))
    why = f"what the time allows at the {rate}"
    t = draft.values["training"]
    most = steps_for(t.get("max_epochs"), sizes.train_tokens, step_tokens)
    if t["minutes"] is not None and most is not None and most < steps:
        why = f"the text {t['max_epochs']:g} times, in {most / steps:.0%} of the time: more would be learned by heart"
        steps = most
    steps = draft.choose("training.steps", steps, why)
    draft.choose("schedule.warmup_steps", min(100, max(5, steps // 50)), "2 % of the steps, at most 100")
    draft.choose("schedule.shape", "linear", "a straight line to the end, where the rate is 0")
    draft.choose("schedule.decay_fraction", 0.6, "a plateau for 40 % of the run, then the decay")


def _plan_optimizer(draft: Draft, model: ModelConfig, machine: Machine) -> None:
    kind = draft.choose("optimizer.kind", "muon", "learns more from each step than AdamW alone (docs/benchmarks.md)")
    scale = (max(count_parameters(model), 800_000) / 800_000) ** (-1 / 3)
    if kind == "muon":
        draft.choose("optimizer.matrix_learning_rate", 0.02, "orthogonalized updates keep their size at every width")
        draft.choose(
            "optimizer.orthogonal_precision",
            orthogonal_precision(machine, draft.given),
            "the fastest of the formats that suffice for orthogonalizing updates, or float32 where that was set",
        )
        draft.choose(
            "optimizer.learning_rate", round(0.006 * scale, 6), "0.006 at 0.8M parameters, falling with their cube root"
        )
    else:
        draft.choose(
            "optimizer.learning_rate", round(0.004 * scale, 6), "0.004 at 0.8M parameters, falling with their cube root"
        )


def _plan_regularization(draft: Draft, model: ModelConfig, sizes: Sizes) -> None:
    t = draft.values["training"]
    seen = t["steps"] * t["batch_size"] * model.context_length
    epochs = seen / max(1, sizes.train_tokens)
    often = DROPOUT_TIMES * (count_parameters(model) / 1e6) ** -0.25
    dropout = 0.0 if epochs < often else 0.1
    draft.choose(
        "model.dropout",
        dropout,
        f"the corpus is seen about {epochs:.1f} times; it pays from about {often:.1f} times on",
    )
    decay = 0.1 if epochs < 8 else 0.3
    draft.choose("optimizer.weight_decay", decay, f"more where a corpus is seen often ({epochs:.1f} times here)")


def _plan_watching(draft: Draft, sizes: Sizes) -> None:
    steps = draft.values["training"]["steps"]
    draft.choose("training.log_interval", max(1, steps // 200), "about 200 lines of metrics")
    interval = draft.choose("training.evaluation_interval", max(1, steps // 12), "about a dozen evaluations")
    draft.choose("training.checkpoint_interval", max(1, interval * 3), "every third evaluation, and every five minutes")
    draft.choose(
        "training.evaluation_tokens", min(65_536, max(1024, sizes.validation_tokens)), "a few seconds an evaluation"
    )
    draft.choose(
        "training.patience", 5, "five evaluations without a better one: the model only learns by heart by then"
    )
