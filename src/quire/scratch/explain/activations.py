"""An activation at a value: the formula, the numbers in it, the result and the slope."""

from __future__ import annotations

import math

from quire.scratch import activations
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Table, equation, say, step
from quire.scratch.explain.expressions import Expression
from quire.scratch.explain.notation import call, exp, minus, number, over, power, root, symbol, times, total
from quire.scratch.explain.numbers import NumberForm

SHOWN = {
    "identity": "identity",
    "relu": "ReLU",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "gelu": "GELU",
    "gelu_tanh": "GELU (tanh form)",
    "silu": "SiLU",
}
"""How each activation is called in words."""

LETTERS = {"relu": "ReLU", "sigmoid": "σ", "tanh": "tanh", "gelu": "GELU", "gelu_tanh": "GELU", "silu": "SiLU"}
NEAR = 0.01  # nearer to 0 the two exponentials of tanh are 1 to as many digits as are printed
TINY = 1e-6  # and that of the sigmoid
STEEP = 8.0  # beyond it 1 + tanh(u) or 1 - tanh(u)^2 loses its digits
FAR = 30.0  # beyond it e^(-z) is not worked out: 1 + e^-30 and 1 are the same to 13 digits


def applied(name: str, z: float, *, brief: bool = False) -> list[Expression]:
    """Return the sides of f(z) = ... = y: the call, the formula with the numbers, and the value.

    Args:
        name: of the activation.
        z: where it is applied.
        brief: leave out what stands between the call and the value.
    """
    y = float(activations.activation(name)(z))
    if name == "identity":
        return [number(y)]
    head = call(LETTERS[name], number(z))
    middle: list[Expression] = []
    if brief or abs(z) > FAR:
        pass
    elif name == "relu":
        middle = [call("max", 0, z)]
    elif name == "sigmoid":
        e = math.exp(-z)
        middle = [over(1, total(1, exp(_negated(z))))]
        if z == 0 or abs(z) > TINY:
            middle.append(over(1, total(1, e)))
    elif name == "tanh":
        above, below = minus(exp(z), exp(_negated(z))), total(exp(z), exp(_negated(z)))
        if abs(z) >= NEAR:
            numbers = over(minus(math.exp(z), math.exp(-z)), total(math.exp(z), math.exp(-z)))
            middle = [over(above, below), numbers]
    elif name == "gelu":
        middle = [times(z, call("Φ", z)), times(z, float(activations.normal_cdf(z)))]
    elif name == "silu":
        middle = [times(z, call("σ", z)), times(z, float(activations.sigmoid(z)))]
    if name == "relu" and abs(z) > FAR:
        middle = [call("max", 0, z)]
    return [head, *middle, number(y)]


def _negated(z: float) -> Expression:
    return number(0.0 if z == 0 else -z)


def activation(name: str, z: float) -> Explanation:
    """Work out an activation and its slope at a value.

    Args:
        name: a key of `quire.scratch.activations.ACTIVATIONS`.
        z: a finite number.

    Raises:
        ValueError: there is no such activation, or z is not finite.
    """
    part = activations.activation(name)
    if not math.isfinite(z):
        raise ValueError(f"z is {z}; it must be a finite number")
    z = float(z)
    y, slope = float(part(z)), float(part.derivative(z))
    before = _before(name, z)
    value = step("The value", *before, equation(symbol("y"), *_value(name, z)))
    return Explanation(
        f"{SHOWN[name]} at z = {NumberForm().write(z).text}",
        (value, step("The slope, which the chain rule multiplies with", *_slope(name, z, slope))),
        {"activation": name, "z": z, "y": y, "slope": slope},
    )


def _value(name: str, z: float) -> list[Expression]:
    if name != "gelu_tanh":
        return applied(name, z)
    u = _inside(z)
    y = float(activations.gelu_tanh(z))
    half: list[Expression] = []
    if abs(u) < STEEP:
        half = [times(0.5, z, total(1, call("tanh", u))), times(0.5, z, total(1, math.tanh(u)))]
    return [call("GELU", z), *half, number(y)]


def _inside(z: float) -> float:
    return math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def _before(name: str, z: float) -> list[Equation | Sentence | Table]:
    """What must be known first: e^-z, Φ(z), or what tanh is put on."""
    if abs(z) > FAR:
        return []
    if name in {"sigmoid", "silu"}:
        rows: list[Equation | Sentence | Table] = [equation(exp(_negated(z)), number(math.exp(-z)))]
        if name == "silu":
            rows.append(equation(*applied("sigmoid", z)))
        return rows
    if name == "tanh" and abs(z) >= NEAR:
        return [equation(exp(z), number(math.exp(z))), equation(exp(_negated(z)), number(math.exp(-z)))]
    if name == "gelu":
        sentence = say("Φ(z) is the chance that a standard normal number is below z.")
        return [sentence, equation(call("Φ", z), number(float(activations.normal_cdf(z))))]
    if name == "gelu_tanh":
        scale = math.sqrt(2 / math.pi)
        inner = total(z, times(0.044715, power(z, 3)))
        pi = symbol("π", tex=r"\pi")
        return [
            equation(root(over(2, pi)), "≈", number(scale)),
            equation(symbol("u"), times(root(over(2, pi)), inner), "≈", number(_inside(z))),
        ]
    return []


def _slope(name: str, z: float, slope: float) -> list[Equation | Sentence | Table]:
    letter = symbol("f'(z)")
    s = float(activations.sigmoid(z))
    if name == "identity":
        return [say("The identity rises by 1 for each 1 of z, everywhere."), equation(letter, number(slope))]
    if name == "relu":
        side = "above 0: the slope is 1" if z > 0 else "not above 0: the slope is 0"
        return [say("z = ", number(z), f" is {side}."), equation(letter, number(slope))]
    if name == "sigmoid":
        rest = float(activations.sigmoid(-z))
        sides = [times(call("σ", z), minus(1, call("σ", z))), times(s, rest)]
    elif name == "tanh":
        y = float(activations.tanh(z))
        sides = [minus(1, power(call("tanh", z), 2))]
        if NEAR <= abs(z) < STEEP:
            sides.append(minus(1, power(y, 2)))
    elif name == "silu":
        sigma = call("σ", z)
        sides = [
            total(sigma, times(z, sigma, minus(1, sigma))),
            total(s, times(z, s, float(activations.sigmoid(-z)))),
        ]
    elif name == "gelu":
        cdf, density = float(activations.normal_cdf(z)), float(activations.normal_density(z))
        sides = [total(call("Φ", z), times(z, call("φ", z))), total(cdf, times(z, density))]
    else:
        u, scale = _inside(z), math.sqrt(2 / math.pi)
        inner = scale * (1 + 3 * 0.044715 * z**2)
        t = math.tanh(u)
        worked: list[Expression | str] = []
        if abs(u) < STEEP:
            worked = ["≈", total(times(0.5, total(1, t)), times(0.5, z, minus(1, power(t, 2)), inner))]
        return [
            equation(
                symbol("u'"),
                times(root(over(2, symbol("π", tex=r"\pi"))), total(1, times(3, 0.044715, power(z, 2)))),
                "≈",
                number(inner),
            ),
            equation(letter, *worked, "≈", number(slope)),
        ]
    return [equation(letter, *(sides if abs(z) <= FAR else sides[:1]), number(slope))]
