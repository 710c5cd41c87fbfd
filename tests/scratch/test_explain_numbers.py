"""How numbers are printed: exact where they are short, rounded where not, and the sign between them tells which."""

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quire.scratch.explain.explanation import equation
from quire.scratch.explain.expressions import Negative
from quire.scratch.explain.notation import (
    call,
    exp,
    matrix,
    minus,
    number,
    over,
    power,
    root,
    symbol,
    times,
    total,
)
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.products import settled, shown_sum

FORM = NumberForm()
finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


def text(*sides):
    return "\n".join(equation(*sides).text(FORM))


def latex(*sides):
    return equation(*sides).latex(FORM)


@pytest.mark.parametrize(
    ("value", "printed", "exact"),
    [
        (0.1 + 0.2, "0.3", True),
        (1.0899999999999999, "1.09", True),
        (2.0, "2", True),
        (-0.0, "0", True),
        (0.9975273768433653, "0.9975", False),
        (4.5397868702434395e-05, "4.5398e-05", False),
        (0.11920292202211755, "0.1192", False),
        (1 / 3, "0.3333", False),
        (214643579785916.06, "2.1464e+14", False),
        (3931334297145.048, "3.9313e+12", False),
        (3931334297145.0, "3931334297145", True),
        (0.06681, "0.06681", True),
        (0.0668072, "0.06681", False),
        (0.29996, "0.29996", True),
        (0.2999999, "0.3000", False),
        (1e-8, "1e-08", True),
        (0.00005, "0.00005", True),
        (22026.465794806718, "22026.4658", False),
        (1000000.0, "1000000", True),
        (1e300, "1e+300", True),
        (1.23456789e30, "1.2346e+30", False),
        (math.inf, "∞", True),
        (-math.inf, "-∞", True),
    ],
)
def test_a_number(value, printed, exact):
    written = FORM.write(value)
    assert (written.text, written.exact) == (printed, exact)


def test_a_power_of_ten_in_latex():
    assert FORM.write(4.5397868702434395e-05).latex == r"4.5398 \times 10^{-5}"
    assert FORM.write(1e-8).latex == "10^{-8}"
    assert FORM.write(-1e-8).latex == "-10^{-8}"


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="nan is not a number"):
        FORM.write(math.nan)
    with pytest.raises(ValueError, match="digits = 0: between 1 and 12"):
        NumberForm(0)


@given(finite, st.integers(1, 12))
@example(5e-324, 4)
@example(9.99999999e-5, 4)
@example(999999999.99999, 4)
def test_the_print_is_within_half_a_digit_of_the_value(value, digits):
    written = NumberForm(digits).write(value)
    printed = Fraction(written.text)
    assert printed == written.value
    if written.exact:
        assert abs(printed - Fraction(repr(value))) <= abs(Fraction(repr(value))) / 10**11
    else:
        digits_after = len(written.text.partition("e")[0].partition(".")[2])
        scale = Fraction(10) ** int(written.text.partition("e")[2] or 0)
        assert abs(printed - Fraction(repr(value))) <= scale * Fraction(501, 1000) / 10**digits_after
        assert digits_after >= min(digits, 4) or abs(value) >= 1e9


@given(st.decimals(min_value=-1000, max_value=1000, places=4, allow_nan=False))
def test_a_decimal_comes_out_as_it_went_in(decimal):
    written = FORM.write(float(decimal))
    assert written.exact
    assert Fraction(written.text) == Fraction(decimal)


@given(st.lists(st.integers(-999, 999), min_size=2, max_size=6))
def test_sums_of_decimals_are_exact(hundredths):
    values = [each / 100 for each in hundredths]
    (line,) = shown_sum(symbol("z"), values, sum(values)).text(FORM)
    assert "≈" not in line
    assert Fraction(line.rpartition(" = ")[2]) == Fraction(sum(hundredths), 100)


def test_the_relation_is_that_of_what_is_printed():
    assert text(times(-1.0, -0.3), number(0.3)) == "(-1) × (-0.3) = 0.3"
    assert text(total(1, 0.3, 0.4, 0.2), number(1.9)) == "1 + 0.3 + 0.4 + 0.2 = 1.9"
    assert text(over(2, 3), number(2 / 3)) == "2 / 3 ≈ 0.6667"
    assert text(symbol("z"), number(1 / 3)) == "z ≈ 0.3333"
    assert text(times(1 / 3, 3), number(1.0)) == "0.3333 × 3 ≈ 1"
    assert text(symbol("y"), over(1, total(1, exp(0))), number(0.5)) == "y = 1 / (1 + e^0) = 0.5"
    assert text(root(2.25), number(1.5)) == "√2.25 = 1.5"
    assert text(root(2), number(2**0.5)) == "√2 ≈ 1.4142"
    assert text(power(10000, Negative(over(2, 4))), number(0.01)) == "10000^(-2 / 4) = 0.01"
    assert text(call("max", 0, -3), number(0)) == "max(0, -3) = 0"
    assert text(number(1.00000001), number(1)) == "1.0000 ≈ 1"


def test_what_comes_of_rounded_numbers_has_no_more_digits_than_they_have():
    assert text(total(0.123456789, 0.2), number(0.323457)) == "0.1235 + 0.2 ≈ 0.3235"
    assert text(total(0.123456, 0.200001), number(0.323457)) == "0.123456 + 0.200001 = 0.323457"


def test_what_only_rounding_left_is_dropped():
    assert 1.1 - 1.0 != 0.1
    assert settled(1.1 - 1.0, [1.1, -1.0]) == 0.1
    assert settled(0.1 + 0.2 - 0.3, [0.1, 0.2, -0.3]) == 0
    assert settled(1e-20, [1e-20]) == 1e-20


def test_negative_terms_and_parentheses():
    assert text(minus(1, -2), number(3)) == "1 - (-2) = 3"
    assert text(total(-1, -2), number(-3)) == "-1 - 2 = -3"
    assert text(times(total(1, 2), 3), number(9)) == "(1 + 2) × 3 = 9"
    assert text(Negative(total(1, 2)), number(-3)) == "-(1 + 2) = -3"
    assert text(power(-3, 2), number(9)) == "(-3)^2 = 9"
    assert text(minus(5, total(1, 2)), number(2)) == "5 - (1 + 2) = 2"
    assert text(over(1, times(2, 3)), over(1, 6)) == "1 / (2 × 3) = 1 / 6"
    assert latex(times(-1.0, 4.5e-9), number(-4.5e-9)) == r"(-1) \times 4.5 \times 10^{-9} = -4.5 \times 10^{-9}"
    assert latex(power(1e-9, 2), number(1e-18)) == r"(10^{-9})^{2} = 10^{-18}"


def test_indices():
    assert symbol("z", 1, 2).text(FORM) == "z₁₂"
    assert symbol("z", 1, 12).text(FORM) == "z₁,₁₂"
    assert symbol("z", 1, 12).latex(FORM) == "z_{1,12}"


def test_a_matrix_stands_on_the_line_of_its_equation():
    shown = text(symbol("Z"), matrix([[1, 2.5], [-3, 4]]))
    assert shown == "Z = ⎡  1  2.5 ⎤\n    ⎣ -3    4 ⎦"
    assert latex(symbol("Z"), matrix([[1, 2.5], [-3, 4]])) == r"Z = \begin{pmatrix} 1 & 2.5 \\ -3 & 4 \end{pmatrix}"
