"""From logits to the next token: what each setting does to the distribution, row by row.

They are applied in this order, which is vLLM's (`vllm.v1.sample.sampler`):

1. what cannot be chosen goes: tokens outside the constraint, and the end of text under `ignore_eos`;
2. logit bias;
3. repetition penalty, then frequency and presence penalties;
4. temperature;
5. min-p, top-k, top-p, and typical-p, which vLLM has not and Hugging Face puts last;
6. what is left is drawn from.

Requests come to a server written for vLLM or OpenAI, so the same settings should mean the same here. llama.cpp applies
the temperature last, and `generate` of Hugging Face min-p after top-p; where only one of min-p and top-p is in use, its
distribution is this one.

Each function takes logits (B, V) and gives logits, -inf = out; a row's result depends on no other row and not on its
place, to the bit. That is why masses are added up as whole numbers: a GPU adds floats in an order of its own that
depends on the shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from quire.errors import QuireError
from quire.inference.row import LARGEST, Draw, choose_in_row, no_numbers, with_log_probabilities
from quire.inference.settings import SamplingSettings
from quire.inference.state import Choice, Row, SamplingState

__all__ = [
    "Choice",
    "SamplingSettings",
    "SamplingState",
    "choose",
    "choose_each",
    "distribution",
    "draw",
    "keep_min_p",
    "keep_top_k",
    "keep_top_p",
    "keep_typical_p",
    "log_probabilities",
    "penalise_counts",
    "penalise_repetition",
]

Numbers = float | torch.Tensor  # one for all rows, or one a row (B, 1)

# Masses are whole numbers of this part of the likeliest token's; 2^20 tokens of mass 1 still fit 63 bits.
GRAIN = 2.0**40
NOT_A_NUMBER = -1


def penalise_repetition(logits: torch.Tensor, seen: Sequence[Sequence[int]], penalty: float) -> torch.Tensor:
    """Make tokens that were there before less likely (penalty > 1) or more (< 1).

    Args:
        logits: (B, V).
        seen: for each row the ids of the tokens so far, in any order, any number of times.
        penalty: positive logits are divided by it, negative ones multiplied.

    Source: Keskar et al. 2019, "CTRL", section 4.1.
    """
    result = logits.clone()
    for row, ids in enumerate(seen):
        chosen = torch.tensor(sorted(set(ids)), device=logits.device, dtype=torch.long)
        scores = result[row, chosen]
        result[row, chosen] = torch.where(scores > 0, scores / penalty, scores * penalty)
    return result


def penalise_counts(
    logits: torch.Tensor, written: Sequence[Sequence[int]], frequency: float, presence: float
) -> torch.Tensor:
    """Make tokens that were written less likely: by `frequency` for each time and by `presence` once.

    Args:
        logits: (B, V).
        written: for each row the ids of the tokens written so far, the prompt's not among them.
        frequency: taken off for each time that a token was written.
        presence: taken off where it was written at all.

    Source: the API reference of OpenAI, `frequency_penalty` and `presence_penalty`.
    """
    counts = torch.zeros_like(logits)
    for row, ids in enumerate(written):
        chosen = torch.tensor(ids, device=logits.device, dtype=torch.long)
        counts[row].index_add_(0, chosen, torch.ones(len(ids), dtype=logits.dtype, device=logits.device))
    return logits - frequency * counts - presence * (counts > 0)


def keep_min_p(logits: torch.Tensor, p: Numbers) -> torch.Tensor:
    """Keep tokens whose probability is at least `p` times that of the likeliest.

    Source: Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling".
    """
    if isinstance(p, float | int) and p <= 0:
        return logits
    return logits.masked_fill(_weights(logits) < p, -torch.inf)


def keep_top_k(logits: torch.Tensor, k: int | torch.Tensor) -> torch.Tensor:
    """Keep what is at least as likely as the k-th likeliest token of its row. 0, or V and over, keeps all."""
    size = logits.shape[-1]
    if isinstance(k, int):
        if k == 0 or k >= size:
            return logits
        smallest = logits.topk(k).values[..., -1:]  # (B, 1)
    else:
        place = torch.where((k == 0) | (k > size), size, k) - 1
        smallest = logits.sort(descending=True).values.gather(-1, place)
    return logits.masked_fill(logits < smallest, -torch.inf)


def keep_top_p(logits: torch.Tensor, p: Numbers) -> torch.Tensor:
    """Keep the smallest set of likeliest tokens whose mass reaches `p`: at least one, and any tied with the last.

    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
    """
    if isinstance(p, float | int) and p >= 1:
        return logits
    ordered = logits.sort(descending=True).values  # (B, V)
    smallest = ordered.gather(-1, _needed(_masses(ordered), p))  # (B, 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


def keep_typical_p(logits: torch.Tensor, p: Numbers) -> torch.Tensor:
    """Keep the smallest set that reaches mass `p` of the tokens whose surprise is nearest to the expected one.

    The surprise of a token is -log of its probability, and the expected one is the entropy: both what is too unlikely
    and what is too obvious go. At least one token is kept, and any as near as the last.

    Source: Meister et al. 2023, "Locally Typical Sampling", section 3.
    """
    if isinstance(p, float | int) and p >= 1:
        return logits
    masses = _masses(logits)  # (B, V)
    surprise = (_highest(logits) - logits).double()  # (B, V): but for a constant, which both sides have
    parts = torch.where(masses > 0, _weights(logits).double() * surprise * GRAIN, 0.0).long()
    expected = parts.sum(-1, keepdim=True).double() / masses.sum(-1, keepdim=True).clamp_min(1).double()
    distance = torch.where(masses > 0, (surprise - expected).abs(), torch.inf)
    nearest = distance.sort(stable=True)
    furthest = nearest.values.gather(-1, _needed(masses.gather(-1, nearest.indices), p))  # (B, 1)
    out = distance > furthest
    if isinstance(p, torch.Tensor):
        out &= p < 1
    return logits.masked_fill(out, -torch.inf)


def distribution(
    logits: torch.Tensor,
    settings: SamplingSettings,
    seen: Sequence[Sequence[int]],
    written: Sequence[Sequence[int]] = (),
) -> torch.Tensor:
    """Return the probabilities (B, V) that the next tokens are drawn from.

    At temperature 0 all the mass is on the likeliest token (of several, the one with the lowest id). A constraint and
    `ignore_eos` are not among what is applied.

    Args:
        logits: scores of the model (B, V).
        settings: which of the functions above to apply.
        seen: the tokens of each row so far, for the repetition penalty.
        written: those of them that were written, for the frequency and presence penalties.
    """
    logits = logits.float()
    if settings.logit_bias:
        logits = logits.clone()
        for token, bias in settings.logit_bias.items():
            if token < logits.shape[-1]:
                logits[:, token] += bias
    if settings.repetition_penalty != 1:
        logits = penalise_repetition(logits, seen, settings.repetition_penalty)
    if settings.frequency_penalty != 0 or settings.presence_penalty != 0:
        logits = penalise_counts(logits, written, settings.frequency_penalty, settings.presence_penalty)
    if settings.temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    logits = _cooled(logits, settings.temperature)
    logits = keep_min_p(logits, settings.min_p)
    logits = keep_top_k(logits, settings.top_k)
    logits = keep_top_p(logits, settings.top_p)
    logits = keep_typical_p(logits, settings.typical_p)
    return logits.softmax(-1)


def draw(probabilities: torch.Tensor, uniforms: Sequence[float]) -> list[int]:
    """Return for each row the token at which the running sum of its probabilities passes its random number.

    Args:
        probabilities: (B, V), each row summing to 1 but for rounding.
        uniforms: one number of [0, 1) a row.
    """
    # float64: in float32 the running sum over a large vocabulary is off by more than a rare token's probability.
    sums = probabilities.double().cumsum(-1)  # (B, V)
    marks = torch.tensor(uniforms, dtype=torch.float64, device=sums.device)[:, None] * sums[:, -1:]  # (B, 1)
    chosen = torch.searchsorted(sums, marks, right=True)[:, 0]  # (B,): the first whose sum is over the mark
    return [int(token) for token in chosen.tolist()]


def choose(logits: torch.Tensor, states: Sequence[SamplingState], drawing: Draw | None = None) -> list[Choice]:
    """Choose the next token of each text.

    Each text has settings of its own, and its choice depends on no other text and not on its place. A random choice
    takes one number of the text's random numbers, and another one for each token after which its constraint could not
    be met within `max_tokens`. Where nothing is left that could be chosen, the end of text is.

    Log-probabilities are those of the plain logits, before penalties and temperature, as OpenAI and vLLM tell them.

    Args:
        logits: scores of the model (B, V), on any device.
        states: what each of the B texts knows; `push` is for the caller to call.
        drawing: what draws from a row on a CPU; left out, NumPy does.

    Raises:
        QuireError: the scores of a row are no numbers.
    """
    return sound(choose_each(logits, states, drawing))


def choose_each(
    logits: torch.Tensor, states: Sequence[SamplingState], drawing: Draw | None = None
) -> list[Choice | QuireError]:
    """Do what `choose` does, with an error in the place of each row whose scores are no numbers."""
    choices = _choices(logits, states, drawing)
    for place, state in enumerate(states):
        choice = choices[place]
        while isinstance(choice, Choice) and not state.fits(choice.token):
            (choice,) = _choices(logits[place : place + 1], [state], drawing)
        choices[place] = choice
    return choices


def sound(choices: Sequence[Choice | QuireError]) -> list[Choice]:
    """Return choices of which none is an error. Raises the first that is."""
    result = []
    for choice in choices:
        if isinstance(choice, QuireError):
            raise choice
        result.append(choice)
    return result


def log_probabilities(logits: torch.Tensor, tokens: Sequence[int], top: int) -> list[Choice]:
    """Return what the model thought of given tokens, as of a prompt's.

    Args:
        logits: plain scores of the model (T, V), each row those for the token beside it.
        tokens: T ids.
        top: how many of the likeliest tokens to tell in each place, likeliest first.
    """
    if logits.device.type == "cpu":
        rows = logits.detach().float().contiguous().numpy()
        return [with_log_probabilities(row, token, top) for row, token in zip(rows, tokens, strict=True)]
    logits = logits.detach().float()
    chosen = torch.tensor(tokens, device=logits.device)[:, None]
    told = torch.cat([chosen.double(), _log_probability_columns(logits, chosen, top)], -1)
    return sound(_told(told, [top] * len(tokens)))


def _choices(logits: torch.Tensor, states: Sequence[SamplingState], drawing: Draw | None) -> list[Choice | QuireError]:
    logits = logits.detach()
    if logits.dtype != torch.float32:
        logits = logits.float()
    if logits.device.type == "cpu":
        rows = (logits if logits.stride(-1) == 1 else logits.contiguous()).numpy()
        likeliest = rows.argmax(-1).tolist() if states else []  # or the first nan
        with np.errstate(over="ignore"):
            return [_in_row(rows[place], likeliest[place], state, drawing) for place, state in enumerate(states)]
    return choose_on_device(logits, states)


def _in_row(logits: Row, likeliest: int, state: SamplingState, drawing: Draw | None) -> Choice | QuireError:
    try:
        return choose_in_row(logits, likeliest, state, drawing)
    except QuireError as error:  # the others do not suffer
        return error


def choose_on_device(logits: torch.Tensor, states: Sequence[SamplingState]) -> list[Choice | QuireError]:
    """Do what `choose_each` does, for logits (B, V) float32 where they are, with one transfer of what was chosen."""
    if not states:
        return []
    device = logits.device
    scores = logits
    if any(state.edits for state in states):
        scores = torch.stack(
            [state.edited_tensor(row) if state.edits else row for row, state in zip(logits, states, strict=True)]
        )
    scores = scores.clamp_max(float(LARGEST))  # nan stays
    chosen = scores.argmax(-1, keepdim=True)  # (B, 1): the first of the likeliest
    settings = [state.settings for state in states]
    if any(each.temperature > 0 for each in settings):
        temperature, min_p, top_k, top_p, typical_p, uniform = torch.tensor(
            [
                (
                    s.temperature,
                    s.min_p,
                    min(s.top_k, scores.shape[-1]),
                    s.top_p,
                    s.typical_p,
                    state.uniforms.random() if s.temperature else 0,
                )
                for s, state in zip(settings, states, strict=True)
            ],
            dtype=torch.float64,
            device=device,
        ).T[..., None]  # each (B, 1)
        left = _cooled(scores, torch.where(temperature > 0, temperature, 1).float())
        if any(each.min_p > 0 for each in settings):
            left = keep_min_p(left, min_p.float())
        if any(each.top_k > 0 for each in settings):
            left = keep_top_k(left, top_k.long())
        if any(each.top_p < 1 for each in settings):
            left = keep_top_p(left, top_p)
        if any(each.typical_p < 1 for each in settings):
            left = keep_typical_p(left, typical_p)
        sums = _masses(left).cumsum(-1)  # (B, V)
        marks = torch.minimum((uniform * sums[:, -1:].double()).long(), sums[:, -1:] - 1)
        drawn = torch.searchsorted(sums, marks, right=True).clamp_max(sums.shape[-1] - 1)
        chosen = torch.where(temperature > 0, drawn, chosen)
    highest = scores.amax(-1, keepdim=True)
    ends = torch.tensor([state.end_of_text for state in states], device=device)[:, None]
    chosen = torch.where(highest == -torch.inf, ends, chosen)
    told = torch.where(logits.amax(-1, keepdim=True).isnan(), NOT_A_NUMBER, chosen).double()  # ids are exact in float64
    top = [each.logprobs for each in settings]
    if any(each is not None for each in top):
        told = torch.cat([told, _log_probability_columns(logits, chosen, max(each or 0 for each in top))], -1)
    return _told(told, top)


def _log_probability_columns(logits: torch.Tensor, chosen: torch.Tensor, top: int) -> torch.Tensor:
    """Return (B, 1 + 2n): the log-probability of what was chosen, the n likeliest ids, and theirs."""
    logits = logits.clamp_max(float(LARGEST))
    total = _masses(logits).sum(-1, keepdim=True).double() / GRAIN
    log_total = _highest(logits).double() + total.log()
    ordered = logits.sort(descending=True, stable=True)
    likeliest = (ordered.values[:, :top].double() - log_total, ordered.indices[:, :top].double())
    return torch.cat([logits.gather(-1, chosen).double() - log_total, likeliest[1], likeliest[0]], -1)


def _told(columns: torch.Tensor, top: Sequence[int | None]) -> list[Choice | QuireError]:
    choices: list[Choice | QuireError] = []
    for row, count in zip(columns.tolist(), top, strict=True):  # the one transfer
        if row[0] == NOT_A_NUMBER:
            choices.append(no_numbers())
            continue
        if count is None:
            choices.append(Choice(int(row[0]), None, ()))
            continue
        most = (len(row) - 2) // 2
        pairs = zip(row[2 : 2 + most], row[2 + most :], strict=True)
        choices.append(Choice(int(row[0]), row[1], tuple((int(id), value) for id, value in pairs)[:count]))
    return choices


def _cooled(logits: torch.Tensor, temperature: Numbers) -> torch.Tensor:
    # The largest is taken off first: a tiny temperature would make both it and its neighbours infinite.
    least = temperature.clamp_min(1e-6) if isinstance(temperature, torch.Tensor) else max(temperature, 1e-6)
    return (logits - _highest(logits)) / least


def _highest(logits: torch.Tensor) -> torch.Tensor:
    """Return the largest logit of each row (B, 1), 0 for a row of which nothing is left: it has no nan then."""
    highest = logits.amax(-1, keepdim=True)
    return torch.where(highest == -torch.inf, 0.0, highest)


def _weights(logits: torch.Tensor) -> torch.Tensor:
    return (logits - _highest(logits)).exp()


def _masses(logits: torch.Tensor) -> torch.Tensor:
    """Return what each token weighs beside the others, whole numbers (B, V), GRAIN for the likeliest."""
    return (_weights(logits).nan_to_num(0.0) * GRAIN).long()


def _needed(masses: torch.Tensor, p: Numbers) -> torch.Tensor:
    """Return the place (B, 1) of the first of the ordered masses (B, V) with which their sum reaches `p` of all."""
    sums = masses.cumsum(-1)
    total = sums[:, -1:].double()
    enough = (sums - masses).double() < p * total  # (B, V)
    needed = enough.sum(-1, keepdim=True).clamp_min(1) - 1
    return torch.where(p >= 1, masses.shape[-1] - 1, needed) if isinstance(p, torch.Tensor) else needed
