"""Sums that pages write are found and checked; what is no sum is left alone."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from _checks.arithmetic import checked, problem, problems, statements
from _checks.pages import pages
from _checks.values import printed
from hypothesis import given
from hypothesis import strategies as st


def matrix(cells):
    return "\\begin{pmatrix} " + cells.replace("ROW", r"\\") + " \\end{pmatrix}"


RIGHT = [
    "0.3 + 0.12 + 0.16 + 0.1 = 0.68",
    "1.0 + 0.3 + 0.4 + 0.2 = 1.9",
    "z = 0.3 + 0.12 = 0.42",
    "$z = 0.5 \\times 0.6 + 0.3 \\times 0.4 = 0.3 + 0.12 = 0.42$",
    "$2 \\cdot (-3) = -6$",
    "2 × −3 = −6, and",
    "2 x 3 = 6",
    "2 * 3 = 6",
    "**2 × 3 = 6**",
    "2 × 3 = **6**",
    "`2 * 3 = 6`",
    "`2 ** 10 = 1024`",
    "`0.3 + 0.12` = `0.42`",
    "2^{10} = 1024",
    "$2^{10} = 1{,}024$",
    "10³ = 1,000",
    "$10^{-3} = 0.001$",
    "6 × 3·10⁶ × 2·10⁴ = 3.6·10¹¹",
    "$6 \\times 3 \\cdot 10^6 = 1.8 \\times 10^{7}$",
    "3e-4 × 2 = 6e-04",
    "$\\frac{9 + 16}{2} = 12.5$",
    "$\\dfrac{1}{4} = 0.25$",
    "$\\sqrt{9 + 16} = 5$",
    "1 ÷ √2 = 0.7071",
    "256 × 768 = 196,608",
    "1 - 0.25 = 75 %",
    "30 % + 12 % = 42%",
    "100 − 25 = 75 %",
    "2 / 3 = 0.667",
    "2 / 3 = 0.666…",
    "2 / 3 ≈ 0.667",
    "$0.643 \\times 3 \\approx 1.93$",
    "$1 / (1 + e^{-6}) = 0.9975273768433653$",
    "$\\sigma(-10) = 4.5397868702434395e-05$",
    "σ(−2) = 0.11920292202211755",
    "exp(0.66) = 1.9348 and so on",
    "$\\ln 2 = 0.693$",
    "log₂(8) = 3",
    "max(0, −1.5) = 0",
    "$y = \\max(0, 0.68) = 0.68$",
    "$\\mathrm{ReLU}(-0.3) = 0$",
    "$e^{2} = 7.389$",
    "$\\underbrace{0.5 \\times 0.6}_{x_1 w_1} + \\underbrace{0.3 \\times 0.4}_{x_2 w_2} = 0.42$",
    "$\\left(1 + 2\\right)(3 + 4) = 21$",
    "2(3 + 4) = 14",
    "So 0.42 = 0.3 + 0.12.",
    "(0.3 + 0.12 = 0.42)",
    "195 = 11000011",
    r"So \(2 + 2 = 4\), and",
    "½ + ¼ = 0.75 and 1½ × 2 = 3",
    "$7 \\bmod 3 = 1$",
    "−7 mod 3 = 2",
    "2π = 6.283",
    "$2\\pi / 3 \\approx 2.0944$",
    "$\\sin(1) \\approx 0.8415$",
    "$\\cos 2 = -0.416$",
    "$\\tan(\\pi / 4) = 1$",
    "2 plus 3 = 5, 12 over 4 = 3",
    "a mean over 2 + 3 = 5 rows",
    "$1 \\frac{1}{2} = 1.5$",
    "$1 \\frac{1}{2} = 0.5$",
    "14 / 13.0384 ≈ 1.0738",
    "0.643 × 3 ≈ 1.928",
    "2 × √(10000 × 0.4 × 0.6) ≈ 98",
    "| 0.5 × 0.6 = 0.3 | 1 |",
    "- 3 + 4 = 7",
    "3. 4 + 5 = 9",
    "0.1 + 0.2 = 0.30000000000000004",
    "0.3 +\n0.12 = 0.42",
    "0.3 + 0.12 = <!-- computed: str(z) -->0.42<!-- /computed -->",
    "$$\nz = 0.3 + 0.12 \\\\\n$$\n\n$$\\begin{aligned} z &= 0.3 + 0.12 \\\\ &= 0.42 \\end{aligned}$$",
    "```text\nz = 0.3 + 0.12\n  = 0.42\n```",
    "```console\n$ quire learn neuron --bias 0.1\n0.3 + 0.12 = 0.42\n```",
    f"${matrix('1 & 2')} {matrix('3 ROW 4')} = {matrix('11')}$",
    f"${matrix('1 × 2 & 3')} + {matrix('1 & 1')} = {matrix('3 & 4')}$",
    f"${matrix('1 & 0 ROW 0 & 1')} {matrix('2 & 3 ROW 4 & 5')} + {matrix('1 & 1')} = {matrix('3 & 4 ROW 5 & 6')}$",
    f"${matrix('1 & 2 ROW 3 & 4')}^\\top = {matrix('1 & 3 ROW 2 & 4')}$",
    f"${matrix('2 ROW 1')} / 3 \\approx {matrix('0.667 ROW 0.333')}$",
]

WRONG = [
    ("0.3 + 0.12 + 0.16 + 0.1 = 0.69", "0.68"),
    ("z = 0.3 + 0.12 = 0.43", "0.42"),
    ("y = f(z) = 0.5 \\cdot 2 = 2", "1"),
    ("2 × −3 = 6", "-6"),
    ("2 x 3 = 7", "6"),
    ("10 / 4 = 3", "2.5"),
    ("1/3 = 33 %", "0.333333333333"),
    ("2 / 3 = 0.666", "0.666666666667"),
    ("2 / 3 ≈ 0.666", "0.666666666667"),
    ("2 / 3 = 0.667…", "0.666666666667"),
    ("0.5 × 0.643 ≈ 0.35", "0.3215"),
    ("$\\sqrt{0.5} \\approx 0.72$", "0.707106781187"),
    ("3 × 0.6931 = 2.0794", "2.0793"),
    ("$10^{-3} = 0.01$", "0.001"),
    ("3.6·10¹¹ / 2 = 1.9·10¹¹", "180000000000"),
    ("256 × 768 = 196,609", "196608"),
    ("$\\sigma(-10) = 4.5397868702444395e-05$", "4.53978687"),
    ("$\\frac{9 + 16}{2} = 12.6$", "12.5"),
    ("<details>\n<summary>Solution</summary>\n\n2 + 2 = 5\n\n</details>", "4"),
    ("```text\nz = 0.3 + 0.12\n  = 0.43\n```", "0.42"),
    ("```console\n$ quire learn x\n2 × 3 = 7\n```", "6"),
    ("| 0.5 × 0.6 = 0.4 | 1 |", "0.3"),
    ("195 = 11000010", "195"),
    (r"So \(2 + 2 = 5\), and", "4"),
    ("½ + ¼ = 0.76", "0.75"),
    ("$7 \\bmod 3 = 2$", "1"),
    ("−7 mod 3 = −1", "2"),
    ("$2\\pi / 3 \\approx 2.0945$", "2.0943"),
    ("$\\sin(1) \\approx 0.8414$", "0.84147"),
    ("$\\cos 2 = -0.417$", "-0.41614"),
    ("$\\tan 1 = 1.558$", "1.55740"),
    ("2 plus 3 = 6", "5"),
    ("a mean over 2 + 3 = 6 rows", "5"),
    ("2 words per 2 + 3 = 6 letters", "5"),
    ("a matrix plus 2 + 3 = 6", "5"),
    ("$1 \\frac{1}{2} = 1.6$", "1.5"),
    ("0.4 × 0.6 ≈ 0.3", "0.24"),
    ("0.4 × 100 ≈ 44", "40"),
    ("0.5 × 10 ≈ 5.5", "5"),
    ("2 × √(10000 × 0.4 × 0.6) ≈ 89", "97.97"),
    ("14 / 13.0384 ≈ 1.0737", "1.07375"),
    (f"${matrix('1 & 2')} + {matrix('3 & 4')} = {matrix('4 & 6 & 1')}$", "a matrix of 1 × 2 beside one of 1 × 3"),
    (f"${matrix('1 & 2')} + {matrix('3 & 4 & 5')} = {matrix('4 & 6')}$", "a sum of a matrix of 1 × 2 and"),
    (f"${matrix('1 & 2')} {matrix('3 & 4')} = {matrix('11')}$", "a product of a matrix of 1 × 2 and"),
    ("3 + 4 = 8, 2 + 2 = 4", "7"),
    (f"${matrix('1 & 2')} {matrix('3 ROW 4')} = {matrix('12')}$", "(11)"),
    (f"${matrix('1 & 2')}^\\top = {matrix('1 ROW 3')}$", "(1; 2)"),
    ("$$\\begin{aligned} z &= 0.3 + 0.12 \\\\ &= 0.43 \\end{aligned}$$", "0.42"),
]

NONE = [
    "quire train papers --set training.minutes=30 --set model.dropout=0.1",
    "`k=3`, `x[0] = 3`, `range(3) = 4`",
    "x_1 w_1 = 0.3",
    "$x_1 = 0.5$, $w_{11} = 0.6$, $z_{11} = 3$",
    "$x + 3 = 5$ and $2x = 6$ and $x^2 = 9$ and $f(2) = 5$ and $f'(2) = 4$",
    "$\\sum_{i=1}^{3} x_i w_i = 0.68$",
    "$\\hat{m}_1 = 0.5$ and $\\alpha 3 = 5$",
    "x plus 2 + 3 = 6, one plus 2 + 3 = 5 and 4 + 7 mod 3 = 9",
    "1 and 0 = 0, 1 or 1 = 1, 1 xor 1 = 0, AND(1, 0) = 0",
    "the token 3 = 7",
    "pages 1-3 = 3 pages",
    "on 2026-11-22 = 3, at 12:30 = 4, in version 3.10.2 = 5",
    "16 rows × 128 tokens = 2,048 tokens",
    "390 = 347 kept + 29 dropped + 14 failed",
    "1 KiB = 1024 bytes",
    "https://example.org/?a=3+4=8",
    "[link](page.md?3+4=8)",
    "```python\nassert 2 + 2 == 4 or 2 + 2 = 5\n```",
    "```toml\nx = 3\n```",
    "```console\n$ quire learn neuron 2+2=5\n```",
    "<!-- 2 + 2 = 5 -->",
    "`0.1 + 0.2 == 0.3`",
    "0.4 + 0.3 + 0.2 < 0.9 = 1 + x",
    "1 + 2 + … + 10 = 54",
    "5! = 120",
    "(0.5, 0.3) · (0.6, 0.4) = 0.43",
    "x<sub>1</sub> = 3",
    "1 / 0 = 5",
    "3 + 4\n\n= 8",
    "3 + 4 | = 8",
    "6 + 1 = 9 x",
    "$6 + 1 = 9 x$",
    "6 + 1 = 9k and 6 + 1 = 9 + y",
    "a 3 ± 1 = 5",
    "GPT-2 = 3",
]


@pytest.mark.parametrize("markdown", RIGHT)
def test_a_right_statement_passes_and_is_checked(markdown):
    count, wrong = checked(markdown)
    assert count >= 1
    assert not wrong, str(wrong[0])


@pytest.mark.parametrize(("markdown", "is_"), WRONG)
def test_a_wrong_statement_is_found(markdown, is_):
    (wrong,) = problems(markdown)
    assert wrong.is_.startswith(is_)
    assert wrong.text in " ".join(markdown.split())


@pytest.mark.parametrize("markdown", NONE)
def test_what_is_no_arithmetic_is_left_alone(markdown):
    assert [statement.text for statement in statements(markdown) if problems(markdown)] == []


def test_a_problem_says_where_and_what():
    (wrong,) = problems("# Title\n\nSo 2 × 3 = 7 pages.\n")
    assert str(wrong) == "line 3: 2 × 3 = 7\n    says 7, but it is 6"


def test_a_chain_is_checked_link_by_link():
    assert [statement.text for statement in statements("z = 1 + 2 + 3 = 3 + 3 = 6, y = 6")] == [
        "1 + 2 + 3 = 3 + 3",
        "3 + 3 = 6",
    ]


SPELLED = {"+": ["+"], "-": ["-", "−"], "*": ["×", "·", "*", "\\times", "\\cdot"]}


@st.composite
def sums(draw):
    """Return the text of a sum or product of decimals, its value, and how many digits after the point are exact."""
    count = draw(st.integers(2, 4))
    text, value, places = "", Fraction(0), 0
    for number in range(count):
        digits, units = draw(st.integers(0, 3)), draw(st.integers(1, 99_999))
        term, shift = Fraction(units, 10**digits), digits
        shown = f"{units / 10**digits:,.{digits}f}" if draw(st.booleans()) else f"{units / 10**digits:.{digits}f}"
        if draw(st.booleans()):
            by = draw(st.integers(2, 99))
            shown, term = f"{shown} {draw(st.sampled_from(SPELLED['*']))} {by}", term * by
        sign = draw(st.sampled_from("+-")) if number else "+"
        text += (f" {draw(st.sampled_from(SPELLED[sign]))} " if number else "") + shown
        value += term if sign == "+" else -term
        places = max(places, shift)
    return text, value, places


def decimal(value, places):
    sign, units = "-" if value < 0 else "", abs(value) * 10**places
    assert units.denominator == 1
    digits = f"{units.numerator:0{places + 1}d}"
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


@given(
    sums(), st.sampled_from(["So {}.", "${}$", "`{}`", "| {} | 3 |", "$$\nz = {}\n$$", "```text\nz = {}\n```", "- {}"])
)
def test_an_exact_sum_passes_and_one_changed_in_its_last_digit_does_not(stated, around):
    text, value, places = stated
    right, wrong = (decimal(value + off * Fraction(1, 10**places), places) for off in (0, 1))
    assert checked(around.format(f"{text} = {right}")) == (1, [])
    count, found = checked(around.format(f"{text} = {wrong}"))
    assert (count, len(found)) == (1, 1)


@given(st.integers(1, 10_000), st.integers(2, 999), st.integers(1, 9), st.sampled_from("=≈"))
def test_a_quotient_is_rounded_to_its_printed_digits_and_no_further(above, below, places, relation):
    exact = Fraction(above, below)
    rounded = Fraction(round(exact * 10**places), 10**places)
    assert checked(f"{above} / {below} {relation} {decimal(rounded, places)}") == (1, [])
    for off in (-1, 1):
        changed = rounded + Fraction(off, 10**places)
        if abs(changed - exact) > Fraction(1, 2 * 10**places):
            count, found = checked(f"{above} / {below} {relation} {decimal(changed, places)}")
            assert (count, len(found)) == (1, 1)


@given(st.floats(0.25, 10), st.floats(0.25, 0.99))
def test_about_equal_allows_for_the_rounding_of_what_is_printed(x, y):
    assert problems(f"{x:.4f} × {y:.4f} ≈ {x * y:.4f}") == []
    assert problems(f"$\\frac{{{x:.5f}}}{{{y:.5f}}} \\approx {x / y:.5f}$") == []


@given(st.integers(1, 99), st.integers(1, 99), st.integers(0, 4))
def test_about_equal_takes_numbers_of_one_or_two_digits_as_they_stand(x, y, places):
    exact = Fraction(x * y, 1000)
    for off in (-1, 1):
        shown = Fraction(round(exact * 10**places) + off, 10**places)
        if abs(shown - exact) > Fraction(1, 2 * 10**places):
            assert len(problems(f"{x / 100} × {y / 10} ≈ {decimal(shown, places)}")) == 1


@given(st.floats(-20, 20))
def test_angles_are_as_floats_have_them(x):
    x = round(x, 3)
    for name in ("sin", "cos"):
        value = getattr(math, name)(x)
        assert checked(f"$\\{name}({x}) = {value:.9f}$") == (1, [])
        assert len(problems(f"{name}({x}) = {value + 2e-9:.9f}")) == 1


@given(st.floats(-30, 30))
def test_what_a_float_computes_passes_when_printed_in_full(x):
    x = round(x, 3)
    assert problems(f"1 / (1 + exp({-x})) = {1 / (1 + math.exp(-x))!r}") == []
    assert len(problems(f"1 / (1 + exp({-x})) = {1.0001 / (1 + math.exp(-x))!r}")) == 1


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_sums_of_the_pages_are_right(page):
    found = problems(page.read_text("utf-8"))
    assert not found, "\n".join(map(str, found))


def test_there_are_sums_on_the_pages():
    assert sum(checked(page.read_text("utf-8"))[0] for page in pages()) >= 300


def test_no_sum_of_the_pages_would_pass_with_another_last_digit():
    tried = 0
    for page in pages():
        for statement in statements(page.read_text("utf-8")):
            result = printed(statement.right)
            if statement.relation == "=" and result is not None and result.digits < 15 and not result.cut:
                changed = replace(statement, right=replace(result, value=result.value + result.unit))
                assert problem(changed) is not None, statement.text
                tried += 1
    assert tried >= 100
