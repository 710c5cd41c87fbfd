"""`quire learn`: any computation of a network worked out step by step; `quire.scratch.explain` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from quire.cli.learn_command import commands_of
from quire.cli.learn_input import integers, matrix, one, row, sentence, utf8, whole, words_of
from quire.errors import UsageError

if TYPE_CHECKING:
    from quire.scratch.explain import Explanation

HELP = """Work out a neuron, a network, attention and more, step by step with all numbers.

\b
quire learn neuron --inputs 2,-1,0.5 --weights 0.5,-0.3,0.8 --bias 0.2
quire learn network net.toml
quire learn gate xor --hidden 3
quire learn softmax 2,1,0.1 --temperature 0.5
quire learn attention "a few words"
quire learn transformer "the cat sat on"
quire learn bpe "low lower lowest" --merges 3

Every command takes --markdown and --json.
"""


group = typer.Typer(help=HELP)
learns = commands_of(group)


@learns("neuron")
def neuron(
    *,
    inputs: str = typer.Option(..., metavar="X,X,...", help="The inputs."),
    weights: str = typer.Option(..., metavar="W,W,...", help="As many weights."),
    bias: str = typer.Option("0", metavar="B", help="The bias."),
    activation: str = typer.Option(
        "relu", metavar="NAME", help="relu, sigmoid, tanh, gelu, gelu_tanh, silu, identity."
    ),
) -> Explanation:
    """Work out one neuron: each product, the sum, the activation."""
    from quire.scratch import explain

    return explain.neuron(row(inputs, "--inputs"), row(weights, "--weights"), one(bias, "--bias"), activation)


@learns("network")
def network(
    file: Path = typer.Argument(..., metavar="FILE.toml", help="Inputs, and layers with weights, biases, activation."),
) -> Explanation:
    """Work out a network layer by layer; with a target also its loss, backpropagation and one step of learning."""
    from quire.cli.network_file import read_network
    from quire.scratch import explain

    net, settings = read_network(file)
    if settings.target is None:
        return explain.network(net, settings.inputs)
    return explain.backpropagation(
        net, settings.inputs, settings.target, loss=settings.loss, learning_rate=settings.learning_rate
    )


@learns("gate")
def gate(
    name: str = typer.Argument(..., metavar="and|or|xor", help="Which gate."),
    *,
    weights: str | None = typer.Option(None, metavar="W,W", help="Two chosen weights, to be tried; with --bias."),
    bias: str | None = typer.Option(None, metavar="B", help="The chosen bias."),
    hidden: int = typer.Option(0, metavar="N", help="Learn with a hidden layer of N tanh neurons."),
    steps: int = typer.Option(1000, metavar="N", help="Steps of gradient descent."),
    learning_rate: str = typer.Option("1", metavar="R", help="Its learning rate."),
    seed: int = typer.Option(0, metavar="N", help="Of the random weights that a hidden layer begins with."),
) -> Explanation:
    """Let gradient descent find the weights of a logic gate, or try weights of your own."""
    from quire.scratch import explain

    if weights is not None and hidden:
        raise UsageError("chosen weights are those of one neuron: leave out --hidden", where="--weights")
    return explain.gate(
        name.lower(),
        weights=None if weights is None else row(weights, "--weights"),
        bias=None if bias is None else one(bias, "--bias"),
        hidden=whole(hidden, "--hidden", 0, 16),
        steps=whole(steps, "--steps", 0, 20000),
        learning_rate=one(learning_rate, "--learning-rate"),
        seed=whole(seed, "--seed", 0, 2**32 - 1),
    )


@learns("activation")
def activation(
    name: str = typer.Argument(..., help="relu, sigmoid, tanh, gelu, gelu_tanh, silu, identity."),
    z: str = typer.Argument(..., metavar="Z", help="Where."),
) -> Explanation:
    """Work out an activation and its slope at a value."""
    from quire.scratch import explain

    return explain.activation(name, one(z, "Z"))


@learns("softmax")
def softmax(
    scores: str = typer.Argument(..., metavar="Z,Z,...", help="The scores."),
    *,
    temperature: str = typer.Option("1", metavar="T", help="Divides the scores first; positive."),
) -> Explanation:
    """Work out the shares that softmax makes of scores."""
    from quire.scratch import explain

    return explain.softmax(row(scores, "Z"), temperature=one(temperature, "--temperature"))


@learns("example")
def example(name: str = typer.Argument(..., help="Which; a wrong name lists them.")) -> Explanation:
    """Work out one of the solved examples of the first chapter."""
    from quire.scratch.explain.examples import EXAMPLES

    if name not in EXAMPLES:
        raise UsageError(f"{name!r} is no solved example; there are {', '.join(EXAMPLES)}")
    return EXAMPLES[name]()


@learns("attention")
def attention(
    text: str = typer.Argument(..., metavar="TEXT", help="A few words; each is a token."),
    *,
    width: int = typer.Option(4, metavar="D", help="Numbers of an embedding."),
    heads: int = typer.Option(1, metavar="H", help="Query heads; each is D / H wide, which must be even."),
    kv_heads: int | None = typer.Option(None, metavar="G", help="Key and value heads; G divides H.  [default: H]"),
    no_rotary: bool = typer.Option(False, "--no-rotary", help="Do not turn queries and keys by their position."),
    seed: int = typer.Option(0, metavar="N", help="Of the random embeddings and weights."),
    run: Path | None = typer.Option(None, metavar="RUN", help="Show the weights of a trained model's head instead."),
    layer: int | None = typer.Option(None, metavar="L", help="With --run: which block, from 0.  [default: 0]"),
    head: int | None = typer.Option(None, metavar="N", help="With --run: which of its heads, from 0.  [default: 0]"),
) -> Explanation:
    """Work out attention over words with random weights, or show where a trained model's head looks."""
    from quire.scratch import explain

    sentence(text)
    if run is not None:
        from quire.cli.trained_head import attention_of_run

        return attention_of_run(run, text, layer or 0, head or 0)
    for name, value in (("--layer", layer), ("--head", head)):
        if value is not None:
            raise UsageError("names a part of a trained model: it needs --run", where=name)
    return explain.attention_of_words(
        words_of(text),
        width=whole(width, "--width", 2, 16),
        num_heads=whole(heads, "--heads", 1, 8),
        num_kv_heads=None if kv_heads is None else whole(kv_heads, "--kv-heads", 1, 8),
        seed=whole(seed, "--seed", 0, 2**32 - 1),
        rotary=not no_rotary,
    )


@learns("transformer")
def transformer(
    text: str = typer.Argument(..., metavar="TEXT", help="A few words; each is a token, the last is to be predicted."),
    *,
    width: int = typer.Option(4, metavar="D", help="Numbers of an embedding."),
    layers: int = typer.Option(1, metavar="N", help="Blocks, 1 to 4."),
    heads: int = typer.Option(2, metavar="H", help="Query heads; each is D / H wide, which must be even."),
    kv_heads: int | None = typer.Option(None, metavar="G", help="Key and value heads; G divides H.  [default: H]"),
    hidden: int = typer.Option(4, metavar="F", help="Width inside the feed-forward part."),
    qk_norm: bool = typer.Option(False, "--qk-norm", help="Normalise queries and keys, head by head."),
    cached: bool = typer.Option(False, "--cached", help="Work out the step that reads the last word with the cache."),
    seed: int = typer.Option(0, metavar="N", help="Of the random weights."),
) -> Explanation:
    """Work out a whole transformer with random weights: from words to the scores of the next one, and to its loss."""
    from quire.scratch import explain

    return explain.transformer_of_words(
        words_of(text),
        width=whole(width, "--width", 2, 16),
        num_layers=whole(layers, "--layers", 1, 4),
        num_heads=whole(heads, "--heads", 1, 8),
        num_kv_heads=None if kv_heads is None else whole(kv_heads, "--kv-heads", 1, 8),
        hidden=whole(hidden, "--hidden", 1, 16),
        qk_norm=qk_norm,
        seed=whole(seed, "--seed", 0, 2**32 - 1),
        cached=cached,
    )


@learns("bpe")
def bpe(
    text: str = typer.Argument(..., metavar="TEXT", help="What the merges are learned from."),
    *,
    merges: int = typer.Option(10, metavar="N", help="How many at most."),
) -> Explanation:
    """Work out the byte-pair merges that a text teaches: counts, ties, the text after each."""
    from quire.scratch import explain

    return explain.bpe(sentence(text), whole(merges, "--merges", 0, 200))


@learns("rotary")
def rotary(
    x: str = typer.Argument(..., metavar="X,X,...", help="A query or key of one head: an even number of numbers."),
    *,
    position: str = typer.Option("1", metavar="P", help="Of its token, from 0."),
    theta: str = typer.Option("10000", metavar="T", help="Base of the wavelengths."),
) -> Explanation:
    """Work out how rotary positions turn a query or a key."""
    from quire.scratch import explain

    return explain.rotary(row(x, "X"), one(position, "--position"), one(theta, "--theta"))


@learns("norm")
def norm(
    x: str = typer.Argument(..., metavar="X,X,...", help="A row of the residual stream."),
    *,
    kind: str = typer.Option("rms", metavar="rms|layer", help="RMSNorm or LayerNorm."),
    weight: str | None = typer.Option(None, metavar="W,W,...", help="The learned weights.  [default: all 1]"),
    bias: str | None = typer.Option(None, metavar="B,B,...", help="Of LayerNorm.  [default: all 0]"),
    eps: str = typer.Option("1e-6", metavar="E", help="Added under the root."),
) -> Explanation:
    """Work out the norm of a row."""
    from quire.scratch import explain

    weights = None if weight is None else row(weight, "--weight")
    biases = None if bias is None else row(bias, "--bias")
    return explain.normalization(row(x, "X"), weights, biases, kind=kind, eps=one(eps, "--eps"))


@learns("optimizer")
def optimizer(
    name: str = typer.Argument(..., metavar="sgd|momentum|adamw", help="Which."),
    gradients: str = typer.Argument(..., metavar="G,G,...", help="The gradient of each step."),
    *,
    weight: str = typer.Option("1", metavar="W", help="Where the weight begins."),
    learning_rate: str = typer.Option("0.1", metavar="R", help="The learning rate."),
    momentum: str = typer.Option("0.9", metavar="M", help="Of momentum: how much of the velocity stays."),
    betas: str = typer.Option("0.9,0.999", metavar="B,B", help="Of AdamW: how much of both means stays."),
    eps: str = typer.Option("1e-8", metavar="E", help="Of AdamW: against division by 0."),
    weight_decay: str = typer.Option("0.01", metavar="D", help="Of AdamW."),
) -> Explanation:
    """Work out the steps of an optimizer on one weight."""
    from quire.scratch import explain

    start, steps, rate = one(weight, "--weight"), row(gradients, "G"), one(learning_rate, "--learning-rate")
    if name == "sgd":
        return explain.sgd(start, steps, rate)
    if name == "momentum":
        return explain.momentum(start, steps, rate, one(momentum, "--momentum"))
    if name != "adamw":
        raise UsageError(f"{name!r} is no optimizer; there are sgd, momentum, adamw; for matrices: quire learn muon")
    both = row(betas, "--betas")
    if len(both) != 2:
        raise UsageError(f"{len(both)} given; there are two, as in 0.9,0.999", where="--betas")
    small, decay = one(eps, "--eps"), one(weight_decay, "--weight-decay")
    return explain.adamw(start, steps, rate, betas=(both[0], both[1]), eps=small, weight_decay=decay)


@learns("orthogonalize")
def orthogonalize(
    gradient: str = typer.Argument(..., metavar="G,G,.../G,G,...", help="The matrix, row by row."),
    *,
    steps: int = typer.Option(5, metavar="N", help="Steps of Newton-Schulz, 1 to 10."),
) -> Explanation:
    """Work out how Muon makes a matrix nearly orthogonal."""
    from quire.scratch import explain

    return explain.orthogonalization(matrix(gradient, "G"), steps)


@learns("muon")
def muon(
    gradients: list[str] = typer.Argument(..., metavar="G,G,.../G,G,...", help="The gradient of each step, a matrix."),
    *,
    weights: str | None = typer.Option(None, metavar="W,.../W,...", help="Where they begin.  [default: all 1]"),
    learning_rate: str = typer.Option("0.02", metavar="R", help="The learning rate."),
    momentum: str = typer.Option("0.95", metavar="M", help="How much of the mean of the gradients stays."),
    weight_decay: str = typer.Option("0.1", metavar="D", help="The weight decay."),
) -> Explanation:
    """Work out the steps of Muon on a matrix of weights."""
    from quire.scratch import explain

    steps = [matrix(gradient, f"G, step {count}") for count, gradient in enumerate(gradients, 1)]
    ones = [[1.0] * len(line) for line in steps[0]]
    start = ones if weights is None else matrix(weights, "--weights")
    rate, decay = one(learning_rate, "--learning-rate"), one(weight_decay, "--weight-decay")
    return explain.muon(start, steps, rate, momentum=one(momentum, "--momentum"), weight_decay=decay)


@learns("schedule")
def schedule(
    name: str = typer.Argument(..., metavar="constant|linear|cosine", help="Which."),
    *,
    steps: int = typer.Option(..., metavar="N", help="How many there are."),
    at: str = typer.Option(..., metavar="S,S,...", help="The steps to work out, counted from 0."),
    peak: str = typer.Option("0.001", metavar="R", help="The highest rate."),
    warmup: int = typer.Option(0, metavar="N", help="Steps in which the rate rises to the peak."),
    final: str = typer.Option("0", metavar="R", help="The rate of the last step; a constant one has none."),
) -> Explanation:
    """Work out the learning rate of a schedule at given steps."""
    from quire.scratch import explain

    wanted = integers(at, "--at")
    whole(steps, "--steps", 1, 10**9)
    return explain.schedule(name, wanted, steps, one(peak, "--peak"), warmup, one(final, "--final"))


@learns("cross-entropy")
def cross_entropy(
    scores: str = typer.Argument(..., metavar="Z,Z,...", help="The scores of the classes."),
    *,
    right: int = typer.Option(..., "--class", metavar="N", help="The right class, from 0."),
) -> Explanation:
    """Work out the loss of a prediction, its perplexity, its bits and its gradient."""
    from quire.scratch import explain

    return explain.cross_entropy(row(scores, "Z"), right)


@learns("sampling")
def sampling(
    scores: str = typer.Argument(..., metavar="Z,Z,...", help="The scores of the tokens."),
    *,
    tokens: str | None = typer.Option(None, metavar="A,B,...", help="What the tokens are.  [default: their ids]"),
    temperature: str = typer.Option("1", metavar="T", help="Divides the scores; 0 takes the likeliest token."),
    top_k: int = typer.Option(0, metavar="K", help="Keep the K likeliest; 0 keeps all."),
    top_p: str = typer.Option("1", metavar="P", help="Keep the likeliest until their mass reaches P."),
    min_p: str = typer.Option("0", metavar="P", help="Keep what has at least P of the share of the likeliest."),
    repetition_penalty: str = typer.Option("1", metavar="R", help="Makes tokens that were seen less likely."),
    seen: str | None = typer.Option(None, metavar="N,N,...", help="Ids of the tokens so far."),
    uniform: str | None = typer.Option(None, metavar="U", help="Draw a token with this random number of [0, 1)."),
) -> Explanation:
    """Work out what each setting does to the distribution of the next token."""
    from quire.scratch import explain

    ids = [] if seen is None else integers(seen, "--seen")
    names = None if tokens is None else utf8(tokens).split(",")
    logits = row(scores, "Z")
    if names is not None and len(names) != len(logits):
        raise UsageError(f"{len(names)} tokens for {len(logits)} scores", where="--tokens")
    return explain.sampling(
        logits,
        names=names,
        temperature=one(temperature, "--temperature"),
        top_k=top_k,
        top_p=one(top_p, "--top-p"),
        min_p=one(min_p, "--min-p"),
        repetition_penalty=one(repetition_penalty, "--repetition-penalty"),
        seen=ids,
        uniform=None if uniform is None else one(uniform, "--uniform"),
    )
