"""What `quire train` shows while it works: live figures on a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.text import Text

from quire.cli.ingest import ingest_progress, print_account

if TYPE_CHECKING:
    from quire.training.metrics import Record

WIDEST = 120  # columns of the live figures, however wide the terminal
LABEL = 10
BLOCKS = "▁▂▃▄▅▆▇█"
# A log gets a line after so many seconds, and from then on each time that the run has become a tenth longer: about 30
# lines in ten minutes, 100 in a week.
LINE_SECONDS = 10.0
LINE_GROWTH = 0.1
TOLD_LOADER_SHARE = 0.01  # of the steps' time: a log says what share the loader takes where it is this or more
PACE_RECORDS = 20  # what is left is told from the pace of the last so many records


def prediction_line(record: Record) -> str:
    """Return in one sentence what the plan expects of a run; the record is that of kind "prediction"."""
    return (
        f"expected: {record['bits_per_byte']:.2f} bits per byte of the validation text,"
        f" {record['low']:.2f} to {record['high']:.2f} ({record['why']})"
    )


class View:
    """Shows a training run on stderr: stages, account, plan, live figures, evaluations; the result on stdout."""

    def __init__(self, console: Console | None = None) -> None:
        width = None if sys.stderr.isatty() else 120
        self.console = console or Console(stderr=True, width=width, highlight=False)
        self.stack = contextlib.ExitStack()
        self.reading: Any = None
        self.figures = Figures()
        self._live = False
        self._line_at: float | None = None

    def ingest(self, step: Any) -> None:
        """Show how far reading is."""
        if self.reading is None:
            self.reading = self.stack.enter_context(ingest_progress())
        self.reading(step)

    def show(self, record: Record) -> None:
        """Show one record of the trainer; kinds that have nothing to show are passed over."""
        shown = getattr(self, f"show_{record['kind']}", None)
        if shown is not None:
            shown(record)

    def remember(self, records: Iterable[Record]) -> None:
        """Take what an interrupted run recorded before, so that its curve goes on."""
        for record in records:
            if record.get("kind") in ("train", "validation"):
                self.figures.take(record, earlier=True)

    def close(self) -> None:
        """Take the live display down."""
        self.stack.close()
        self.reading, self._live = None, False

    def show_stage(self, record: Record) -> None:
        self.close()
        self.console.print(f"[bold]{escape(record['text'])}[/]")

    def show_account(self, record: Record) -> None:
        self.close()
        print_account(record["account"], stderr=True)
        self.console.print(f"Corpus: {record['corpus']}  Report: {record['corpus'] / 'report.html'}", soft_wrap=True)

    def show_plan(self, record: Record) -> None:
        from rich.table import Table

        from quire.model.size import size_table
        from quire.training.draft import describe

        table = Table("setting", "value", "why", box=None, pad_edge=False)
        for key, value, reason in describe(record["config"], record["reasons"]):
            table.add_row(key, escape(value), escape(reason))
        self.console.print(table)
        self.console.print(f"\n{size_table(record['config'].model)}\n")

    def show_prediction(self, record: Record) -> None:
        self.console.print(f"{prediction_line(record)}\n", soft_wrap=True, markup=False)

    def show_profile(self, record: Record) -> None:
        for line in record["profile"].lines():
            self.console.print(line, soft_wrap=True, markup=False)

    def show_start(self, record: Record) -> None:
        self.figures.start(record)

    def show_train(self, record: Record) -> None:
        self.figures.take(record)
        if self.console.is_interactive:
            if not self._live:
                from rich.live import Live

                self.stack.enter_context(Live(self.figures, console=self.console, refresh_per_second=2))
                self._live = True
        elif self._line_at is None or record["seconds"] >= self._line_at or record["step"] >= record["total_steps"]:
            self._line_at = record["seconds"] + max(LINE_SECONDS, LINE_GROWTH * record["seconds"])
            self.console.print(self.figures.line(), soft_wrap=True)

    def show_validation(self, record: Record) -> None:
        self.figures.take(record)
        best = "  best" + (" so far" if self.console.width >= 90 else "") if record["best"] else ""
        self.console.print(
            f"  {record['seconds']:7.1f} s  step {record['step']:>6,}  validation: loss {record['loss']:.4f}, "
            f"{record['bits_per_byte']:.4f} bits per byte{best}"
        )

    def show_sample(self, record: Record) -> None:
        text = f"{'':11}{' '.join(record['text'].split())}"
        self.console.print(Text(text, style="dim"), no_wrap=True, overflow="ellipsis")

    def show_note(self, record: Record) -> None:
        self.console.print(f"[yellow]{escape(record['text'])}[/]", soft_wrap=True)


class Figures:
    """The figures of a run as they stand: five lines of text that fit any width, or one line for a log.

    Args:
        now: tells the seconds of a clock, so that what is left shrinks between two records.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.train: list[Record] = []
        self.validation: list[Record] = []
        self.device, self.precision = "cpu", "float32"
        self._fresh = 0  # records of this process; those before them were made by another, at its own pace
        self._at = 0.0

    def start(self, record: Record) -> None:
        """Take the device and the number format from the record of a start."""
        self.device, self.precision = record["device"], record["precision"]

    def take(self, record: Record, *, earlier: bool = False) -> None:
        """Take a record of metrics; a step back is a resumption, and what came after it has not happened."""
        for story in (self.validation, self.train) if record["kind"] == "train" else (self.validation,):
            while story and story[-1]["step"] >= record["step"]:
                story.pop()
        (self.train if record["kind"] == "train" else self.validation).append(record)
        if record["kind"] == "train" and not earlier:
            self._fresh += 1
            self._at = self._now()

    def seconds_left(self) -> float:
        """Return the seconds to the last step, at the pace of the last records, evaluations among them."""
        last = self.train[-1]
        steps_left: int = last["total_steps"] - last["step"]
        recent = self.train[-min(self._fresh, PACE_RECORDS) :]
        steps = last["step"] - recent[0]["step"]
        if steps > 0:
            pace = (last["seconds"] - recent[0]["seconds"]) / steps
        else:
            pace = last["tokens"] / max(1, last["step"]) / max(1e-9, last["tokens_per_second"])
        return steps_left * float(pace)

    def line(self) -> str:
        """Return the figures as one line."""
        last = self.train[-1]
        total = f"{last['total_steps']:,}"
        parts = [
            f"  {last['seconds']:7.1f} s  step {last['step']:>{max(6, len(total))},}/{total}",
            f"loss {last['loss']:.3f}",
            f"{last['bits_per_byte']:.3f} bits/byte",
            f"lr {last['lr']:.3g}",
            f"{last['tokens_per_second']:,.0f} tokens/s",
        ]
        if "share" in last:
            parts.append(f"{last['share']:.0%} of rate" if self.device == "cpu" else f"MFU {last['share']:.0%}")
        if "memory_bytes" in last:
            parts.append(gibibytes(last["memory_bytes"]))
        if last.get("loader_share", 0.0) >= TOLD_LOADER_SHARE:
            parts.append(f"loader {last['loader_share']:.0%}")
        return "  ".join([*parts, f"{clock(self.seconds_left())} left"])

    def __rich_console__(self, console: Console, options: Any) -> Iterable[RenderableType]:
        yield Group(*self.lines(min(options.max_width, WIDEST)))

    def lines(self, width: int) -> list[Text]:
        """Return the figures as lines of at most `width` columns."""
        last = self.train[-1]
        left = max(0.0, self.seconds_left() - (self._now() - self._at))
        loss = f"{last['loss']:.3f} nats a token"
        curve = sparkline([record["loss"] for record in self.train], min(72, width - LABEL - len(loss) - 2))
        rows = [
            ("loss", f"{loss}  {curve}"),
            ("bits/byte", f"{last['bits_per_byte']:.3f}{self._validated()}"),
            ("rate", f"{last['tokens_per_second']:,.0f} tokens/s{self._loader()}, learning rate {last['lr']:.3g}"),
        ]
        if machine := self._machine():
            rows.append(("machine", machine))
        lines = [progress_line(last["step"], last["total_steps"], left, width)]
        for label, text in rows:
            lines.append(Text.assemble((f"{label:<{LABEL}}", "dim"), text))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return lines

    def _validated(self) -> str:
        if not self.validation:
            return ""
        best = min(self.validation, key=lambda record: float(record["bits_per_byte"]))
        text = f"; validation {self.validation[-1]['bits_per_byte']:.3f}"
        if best is not self.validation[-1]:
            text += f", best {best['bits_per_byte']:.3f} at step {best['step']:,}"
        return text

    def _loader(self) -> str:
        share = self.train[-1].get("loader_share")
        return "" if share is None else f", loader {share:.1%}"

    def _machine(self) -> str:
        last = self.train[-1]
        parts = []
        if "memory_bytes" in last:  # first, as it is short: what is too long for the terminal is cut at its end
            parts.append(f"{gibibytes(last['memory_bytes'])} in use")
        if "share" in last:
            rate = f"{self.precision} matrix-product rate"
            text = f"{last['share']:.0%} of this machine's {rate}"
            parts.append(text if self.device == "cpu" else f"MFU {last['share']:.0%} of the measured {rate}")
        return ", ".join(parts)


def progress_line(step: int, total: int, left: float, width: int) -> Text:
    """Return the steps, a bar as long as there is room, the share done and the time left."""
    share = min(1.0, step / max(1, total))
    before = f"step {step:,}/{total:,} "
    after = f" {share:4.0%}  {clock(left)} left"
    cells = max(0, width - len(before) - len(after))
    done = round(cells * share)
    return Text.assemble(before, ("━" * done, "cyan"), ("━" * (cells - done), "bright_black"), (after, "bold"))


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the curve of `values` in at most `width` characters, each the mean of its part.

    The steep start is cut off at the height the curve has after a tenth of it, else the rest would be flat.
    """
    finite = [value for value in values if math.isfinite(value)]
    cells = min(width, len(finite))
    if cells < 2:
        return ""
    edges = [len(finite) * cell // cells for cell in range(cells + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, high = min(means), max(means[cells // 10 :])
    span = (high - low) or 1.0
    return "".join(BLOCKS[min(len(BLOCKS) - 1, int((mean - low) / span * len(BLOCKS)))] for mean in means)


def clock(seconds: float) -> str:
    """Return a time as m:ss or h:mm:ss, days before it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    text = f"{hours}:{minutes:02}:{rest:02}" if hours or days else f"{minutes}:{rest:02}"
    return f"{days} d {text}" if days else text


def gibibytes(number: float) -> str:
    """Return bytes as MiB or GiB."""
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
