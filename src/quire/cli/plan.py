"""`quire plan`: what a run would be, before it is begun: on GPUs that may not be here, or on this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quire.errors import UsageError

if TYPE_CHECKING:
    from quire.training.estimate import Estimate

MOST_MINUTES = 525_600.0  # a year
COUNT = re.compile(r"(?P<number>\d[\d_,]*(?:\.\d+)?(?:e\d+)?)\s*(?P<unit>[kmbgt]?)", re.IGNORECASE)
UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
LABEL = 12


def command(
    sources: list[Path] = typer.Argument(
        None, metavar="[SOURCE...]", help="Folders and files, or one corpus: print the plan of training on them here."
    ),
    minutes: float | None = typer.Option(None, min=0.05, max=MOST_MINUTES, help="Training time.  [default: 10]"),
    config: Path | None = typer.Option(None, metavar="FILE.toml", help="Settings by group, as `quire train` takes."),
    assignments: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Set one value of the plan."),
    corpus: Path | None = typer.Option(None, metavar="CORPUS", help="Where the corpus goes.  [default: corpora/NAME]"),
    no_ocr: bool = typer.Option(False, "--no-ocr", help="Do not recognise text in pictures and scanned pages."),
    parameters: str | None = typer.Option(None, "--params", metavar="N", help="Parameters, such as 124M or 1.3B."),
    tokens: str | None = typer.Option(None, metavar="N", help="Training tokens, such as 10B or 1T."),
    gpu: str | None = typer.Option(None, metavar="NAME", help="The GPU, such as h100; `cpu` is measured here."),
    gpus: int | None = typer.Option(None, help="GPUs in each node.  [default: 1, with --nodes 8]"),
    nodes: int | None = typer.Option(None, help="Nodes.  [default: 1]"),
    price: float | None = typer.Option(None, help="Dollars for an hour of one GPU.  [default: an assumption]"),
    mfu: float | None = typer.Option(None, help="Share of the peak that training reaches.  [default: 0.4]"),
    vocab: str | None = typer.Option(None, metavar="N", help="Size of the vocabulary.  [default: up to 32,768]"),
    context: str | None = typer.Option(None, metavar="N", help="Context length.  [default: 256 to 4,096]"),
    batch: str | None = typer.Option(
        None, metavar="N", help="Tokens in a step.  [default: GPT-3's, by the parameters]"
    ),
    optimizer: str | None = typer.Option(None, help="muon or adamw.  [default: muon]"),
    list_gpus: bool = typer.Option(False, "--list-gpus", help="Print the table of GPUs."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Say what a run would take, without training.

    `quire plan --params 1.3B --tokens 100B --gpu h100 --gpus 8` computes memory, time, cost and the command for GPUs
    that may not be here. `quire plan SOURCE --minutes 20` prints the plan that `quire train` would follow here.
    """
    here: dict[str, object] = {
        "--minutes": minutes,
        "--config": config,
        "--set": assignments or None,
        "--corpus": corpus,
    }
    there: dict[str, object] = {
        "--params": parameters,
        "--tokens": tokens,
        "--gpu": gpu,
        "--gpus": gpus,
        "--nodes": nodes,
    }
    there |= {"--price": price, "--mfu": mfu, "--vocab": vocab, "--context": context, "--batch": batch}
    there |= {"--optimizer": optimizer}
    given_here, given_there = ([name for name, value in group.items() if value is not None] for group in (here, there))
    if list_gpus:
        _print_gpus(as_json)
    elif sources:
        if given_there:
            raise UsageError(
                f"{', '.join(given_there)} plans a run on GPUs by data sheet, a SOURCE one on this machine: give one"
            )
        _plan_here(sources, minutes, config, assignments, corpus, no_ocr, as_json)
    elif missing := [name for name in ("--params", "--tokens", "--gpu") if there[name] is None]:
        raise UsageError(
            f"{', '.join(missing)} missing" if given_there else "nothing to plan",
            hint="quire plan --params 124M --tokens 10B --gpu h100, or: quire plan SOURCE --minutes 20",
        )
    elif given_here:
        raise UsageError(f"{', '.join(given_here)} goes with a SOURCE, whose run is planned on this machine")
    else:
        from quire.training.estimate import estimate
        from quire.training.gpus import find_gpu
        from quire.training.shape import shape_for

        if optimizer not in (None, "muon", "adamw"):
            raise UsageError(f"{optimizer!r} is not muon or adamw", where="--optimizer")
        num_tokens = parse_count("--tokens", tokens)
        shape = shape_for(
            parse_count("--params", parameters),
            tokens=num_tokens,
            vocab_size=None if vocab is None else parse_count("--vocab", vocab),
            context=None if context is None else parse_count("--context", context),
        )
        plan = estimate(
            shape,
            num_tokens,
            find_gpu(gpu or ""),
            gpus=gpus if gpus is not None else 1 if nodes in (None, 1) else 8,
            nodes=1 if nodes is None else nodes,
            mfu=mfu,
            price=price,
            batch_tokens=None if batch is None else parse_count("--batch", batch),
            optimizer="adamw" if optimizer == "adamw" else "muon",
        )
        print(json.dumps(plan.to_json()) if as_json else render(plan))


def parse_count(option: str, text: str | None) -> int:
    """Return the whole number that `124M`, `1.3B`, `50_257` or `2e9` means.

    Raises:
        UsageError: it is none, or not above 0.
    """
    found = COUNT.fullmatch((text or "").strip())
    number = (
        0
        if found is None
        else round(float(found["number"].replace("_", "").replace(",", "")) * UNITS[found["unit"].lower()])
    )
    if number < 1:
        raise UsageError(f"{text!r} is no number such as 50257, 124M, 1.3B or 2T", where=option)
    return number


def render(plan: Estimate) -> str:
    """Return an estimate as text."""
    m, gpu = plan.model, plan.gpu
    tied = "one table for embedding and head" if m.tie_embeddings else "embedding and head are two tables"
    sections = [
        _section(
            "model",
            f"{plan.parameters:,} parameters in the layout of Qwen3: {m.num_layers} blocks of width {m.hidden_size:,},",
            f"{m.num_heads} heads of {m.head_dim}, {m.num_kv_heads} for keys and values, feed-forward "
            f"{m.intermediate_size:,},",
            f"vocabulary {m.vocab_size:,} ({tied}), context {m.context_length:,}",
        ),
        _section("tokens", *_tokens(plan)),
        _section(
            "arithmetic",
            f"{plan.flops_per_token:.3g} FLOPs a token, forward and backward; {plan.flops:.3g} in all",
        ),
        _section(
            "GPUs" if gpu.key != "cpu" else "processor",
            f"{plan.gpus:,} x {gpu.name}" + (f" in {plan.nodes:,} nodes" if plan.nodes > 1 else "") + ":",
            f"{gpu.tflops:,.4g} TFLOP/s {gpu.precision}, {gpu.memory / 1e9:,.0f} GB, {gpu.memory_rate / 1e9:,.0f} GB/s"
            f" ({gpu.source})"
            if gpu.key != "cpu"
            else f"{gpu.tflops:,.3g} TFLOP/s {gpu.precision}, {gpu.memory / 1e9:,.0f} GB ({gpu.source})",
            f"of which training is assumed to reach {plan.mfu:.0%} ({plan.mfu_source})",
        ),
        "",
        *_memory_table(plan),
        "",
    ]
    if plan.chosen is None:
        more = (
            f"{plan.gpus_needed:,} of these GPUs hold it, sharded"
            if plan.gpus_needed is not None and gpu.key != "cpu"
            else "no number of them holds it"
            if gpu.key != "cpu"
            else "a smaller model, or --optimizer adamw, may"
        )
        return "\n".join([*sections, _section("fits", f"no: {more}")])
    return "\n".join([*sections, *_run(plan)])


def _tokens(plan: Estimate) -> list[str]:
    from quire.training.estimate import CHINCHILLA

    ratio = plan.tokens_per_parameter
    parameters, tokens = plan.optimal
    best = f"{_count(parameters)} parameters and {_count(tokens)} tokens"
    if ratio < CHINCHILLA / 1.5:
        meaning = f"fewer: the same arithmetic makes a better model of {best}"
    elif ratio > CHINCHILLA * 1.5:
        meaning = f"more: the same arithmetic would make {best}, a little better and dearer to use"
    else:
        meaning = "about that: the lowest loss that this much arithmetic gives"
    return [f"{plan.tokens:,}, {ratio:.1f} a parameter; Chinchilla's rule is {CHINCHILLA:.0f}.", f"This is {meaning}"]


def _memory_table(plan: Estimate) -> list[str]:
    from quire.training.layout import USABLE

    columns = ("weights", "copies", "gradients", "optimizer", "gathered", "activations", "logits", "update", "peak")
    unit, size = ("GB", 1e9) if max(one.memory.total for one in plan.layouts) >= 1e9 else ("MB", 1e6)
    rows = [[f"{unit} on each", "windows", *columns, "fits"]]
    for one in plan.layouts:
        parts = one.memory.to_json() | {"peak": one.memory.total}
        cells = [f"{parts[column] / size:,.1f}" if parts[column] else "-" for column in columns]
        rows.append([one.name, f"{one.micro_batch} x {one.accumulation}", *cells, "yes" if one.fits else "no"])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        row[0].ljust(widths[0]) + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    return [
        *lines,
        "windows: in one pass x passes in a step. peak: weights, gradients and optimizer, and with them what the",
        "passes hold (copies to logits) or what the optimizer's step does (update), whichever is more.",
        f"{plan.gpu.memory * USABLE / size:,.1f} {unit} are counted as usable.",
    ]


def _run(plan: Estimate) -> list[str]:
    from quire.training.estimate import command as train_command

    chosen = plan.chosen
    assert chosen is not None
    assert plan.seconds is not None
    assert plan.gpu_hours is not None
    assert plan.cost is not None
    assert plan.kilowatt_hours is not None
    assert plan.tokens_per_second is not None
    passes = f"{chosen.accumulation} pass{'es' if chosen.accumulation > 1 else ''}"
    unit = "processor" if plan.gpu.key == "cpu" else "GPU"
    assumed = "assumed, set it by --price" if plan.price_assumed else "given"
    lines = [
        _section(
            "chosen",
            f"{chosen.name}: {chosen.micro_batch} windows x {passes} x {plan.gpus:,} {unit}s = "
            f"{plan.batch:,} windows or {plan.batch_tokens:,} tokens a step; {plan.steps:,} steps",
        ),
        _section("step", f"{_seconds(chosen.step_seconds)}; {plan.tokens_per_second:,.0f} tokens/s in all"),
    ]
    if plan.gpus > 1:
        bound = (
            "sent while the GPUs compute"
            if not chosen.exposed_seconds
            else f"{_seconds(chosen.exposed_seconds)} of them are waited for: the links hold the GPUs up"
        )
        link = (
            plan.gpu.link_name
            if plan.nodes == 1
            else f"the network of the nodes, {plan.gpu.network * 8 / 1e9:,.0f} Gbit/s each"
        )
        lines.append(
            _section(
                "links",
                f"{chosen.traffic / 1e9:,.2f} GB from each GPU a step, {_seconds(chosen.traffic_seconds)} over {link};",
                bound,
            )
        )
    lines += [
        _section("time", f"{_duration(plan.seconds)}, {plan.gpu_hours:,.1f} {unit}-hours"),
        _section("cost", f"{_dollars(plan.cost)} at ${plan.price:,.2f} a {unit}-hour ({assumed})"),
        _section("energy", f"{plan.kilowatt_hours:,.0f} kWh at {plan.gpu.watts:,.0f} W for each {unit}"),
        _section(
            "disk",
            f"{_size(plan.token_bytes)} of tokens, {_size(plan.checkpoint_bytes)} for each checkpoint",
        ),
        "",
        train_command(plan),
    ]
    return lines


def _section(label: str, *lines: str) -> str:
    return "\n".join((label if not at else "").ljust(LABEL) + line for at, line in enumerate(lines))


def _count(number: float) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def _size(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e3:,.1f} kB"


def _dollars(amount: float) -> str:
    return f"${amount:,.0f}" if amount >= 1000 else f"${amount:,.2f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.3g} s" if seconds >= 1 else f"{seconds * 1000:,.3g} ms"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} seconds"


def _print_gpus(as_json: bool) -> None:
    from dataclasses import asdict

    from quire.training.gpus import GPUS

    if as_json:
        print(json.dumps([asdict(gpu) for gpu in GPUS.values()]))
        return
    print(f"{'name':<10} {'':<28} {'TFLOP/s':>8} {'GB':>4} {'GB/s':>5} {'link GB/s':>9}  {'$/h':>5}  from")
    for gpu in GPUS.values():
        print(
            f"{gpu.key:<10} {gpu.name:<28} {gpu.tflops:>8,.5g} {gpu.memory / 1e9:>4.0f} {gpu.memory_rate / 1e9:>5.0f}"
            f" {gpu.link / 1e9:>9.0f}  {gpu.price:>5.2f}  {gpu.source}"
        )
    print(
        "TFLOP/s: dense products in bfloat16 (float16 for the T4). link: each way, to a neighbour in the node.\n"
        "$/h: an assumption, to be replaced by --price. cpu: this machine, measured."
    )


def _plan_here(
    sources: list[Path],
    minutes: float | None,
    config: Path | None,
    assignments: list[str],
    corpus: Path | None,
    no_ocr: bool,
    as_json: bool,
) -> None:
    from quire.cli.train_view import View, prediction_line
    from quire.corpus.settings import IngestSettings
    from quire.model.size import count_flops, count_parameters, size_table
    from quire.settings import build, read_toml, with_assignments
    from quire.training.draft import describe
    from quire.training.run import plan_training

    settings = read_toml(config) if config is not None else {}
    for table in ("source", "plan", "reasons"):  # so that a run.toml can be given as it is
        settings.pop(table, None)
    view = View()
    foretold: dict[str, Any] = {}

    def listen(record: dict[str, Any]) -> None:
        if record["kind"] == "prediction":
            foretold.update(record)
        else:
            view.show(record)

    try:
        planned, reasons = plan_training(
            sources,
            Path("runs") / sources[0].resolve().name,
            minutes=minutes,
            settings=with_assignments(settings, assignments),
            ingest_settings=build(IngestSettings, {"read": {"ocr": not no_ocr}}, where="--no-ocr"),
            corpus=corpus,
            listener=listen,
            ingest_progress=view.ingest,
        )
    finally:
        view.close()
    if as_json:
        report = {
            "parameters": count_parameters(planned.model),
            "flops_per_token": count_flops(planned.model, planned.model.context_length, training=True),
            "config": planned.model_dump(mode="json"),
            "reasons": reasons,
            "predicted_bits_per_byte": foretold.get("bits_per_byte"),
        }
        print(json.dumps(report))
        return
    rows = describe(planned, reasons)
    first, second = (max(len(row[at]) for row in rows) for at in (0, 1))
    for key, value, reason in rows:
        print(f"{key:<{first}}  {value:>{second}}  {reason}")
    print(f"\n{size_table(planned.model)}")
    if foretold:
        print(f"\n{prediction_line(foretold)}")
