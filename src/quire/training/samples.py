"""samples.md: the same prompts, continued at each evaluation, so that one can read how the model learns."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from quire.files import write_text
from quire.inference.language import LanguageModel
from quire.inference.sampling import SamplingSettings
from quire.model.transformer import Transformer
from quire.tokens.dataset import Split, TokenDataset
from quire.tokens.tokenizer import Tokenizer
from quire.training.config import TrainingSettings

NUM_PROMPTS = 3
PROMPT_WORDS = 6
PROMPT_REACH = 4096  # tokens that a prompt is looked for in
PROSE = re.compile(r"[A-Z][\w'’-]*[,;:]?( [\w'’-]+[,;:.]?)+")
HEADING = re.compile(r"^## Step (\d+)", re.MULTILINE)


def samples_path(run: Path) -> Path:
    """Return where the samples of `run` lie."""
    return run / "quire" / "samples.md"


def prompts_from(split: Split, tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return the first words of lines taken evenly from `split`, text not trained on; prose before code."""
    prompts: list[str] = []
    for part in range(NUM_PROMPTS):
        start = split.num_tokens * part // NUM_PROMPTS
        ids = split.tokens(start, min(split.num_tokens, start + PROMPT_REACH))
        text = "".join(tokenizer.decode(piece) for piece in np.split(ids, np.flatnonzero(ids == split.end_of_text) + 1))
        lines = [line.split() for line in text.splitlines()[1 if part else 0 :]]
        starts = [" ".join(words[:PROMPT_WORDS]) for words in lines if len(words) >= PROMPT_WORDS]
        prose = [start for start in starts if PROSE.fullmatch(start)]
        prompts += [start for start in prose or starts if start not in prompts][:1]
    return tuple(prompts) or ("",)


def _inert(text: str) -> str:
    """Return `text` with its own headings and fences moved by a blank, so that the page keeps its sections."""
    return re.sub(r"^(?=#|````)", " ", text.strip("\n"), flags=re.MULTILINE)


class SampleWriter:
    """Continues the prompts of a run and keeps what was written in samples.md."""

    def __init__(self, run: Path, data: TokenDataset, settings: TrainingSettings) -> None:
        self.path = samples_path(run)
        self.tokenizer = data.tokenizer
        self.length = settings.sample_tokens
        self.prompts = settings.sample_prompts or prompts_from(data.validation, data.tokenizer)

    def write(self, model: Transformer, step: int, bits_per_byte: float, *, keep: bool = True) -> str:
        """Continue each prompt, append the texts to samples.md, and return the first; "" where samples are off.

        Args:
            model: continues them.
            step: how many steps it was trained for.
            bits_per_byte: its score.
            keep: False writes no file: another process, which has the other slices of the model, does.
        """
        if not self.length:
            return ""
        sampling = SamplingSettings(max_tokens=self.length, temperature=0.8, top_p=0.95, seed=0)
        written = LanguageModel(model, self.tokenizer).generate(list(self.prompts), sampling)
        section = [f"## Step {step} ({bits_per_byte:.3f} bits per byte)", ""]
        for prompt, completion in zip(self.prompts, written, strict=True):
            # Four backquotes: the text may hold three of its own.
            section += [f"**{prompt or '(nothing)'}** ...", "", "````text", _inert(completion.text), "````", ""]
        if not keep:
            return ""
        before = self.path.read_text("utf-8") if self.path.exists() else "# Samples\n\n"
        write_text(self.path, before + "\n".join(section) + "\n")
        return f"{self.prompts[0]}{written[0].text}"

    def forget_after(self, step: int) -> None:
        """Drop the sections after `step`: a resumed run writes them again."""
        if self.path.exists():
            text = self.path.read_text("utf-8")
            later = [match.start() for match in HEADING.finditer(text) if int(match[1]) > step]
            if later:
                write_text(self.path, text[: later[0]])
