"""The worked sums in examples/sources: computed again here, and looked for in the text as they stand."""

import math
from pathlib import Path

import numpy as np
import torch

SOURCES = Path(__file__).resolve().parents[2] / "examples" / "sources"


def text_of(name):
    return " ".join((SOURCES / f"{name}.md").read_text("utf-8").replace("−", "-").split())


def holds(name, *values):
    text = text_of(name)
    missing = [value for value in values if value not in text]
    assert not missing, f"{name}: {missing}"


def softmax(scores):
    powers = np.exp(np.asarray(scores, np.float64))
    return powers / powers.sum()


def test_neuron():
    z = 0.8 * 0.5 + 0.2 * -1 + -0.5 * 2 + 0.1
    assert math.isclose(z, -0.7)
    holds("a-neuron-by-hand", f"{1 / (1 + math.exp(-z)):.4f}", f"{math.tanh(z):.4f}", f"{256 * 768:,}")
    assert math.isclose(-0.4 * 0.5 + 0.6 * -1 + 0.3 * 2 - 0.2, -0.4)
    for a in (0, 1):
        for b in (0, 1):
            first, second = max(a + b, 0), max(a + b - 1, 0)
            assert first - 2 * second == (a ^ b)
            holds("a-neuron-by-hand", f"{a} {b} {first} {second} {first - 2 * second}")


def test_backpropagation_against_autograd():
    x, t = 1.5, 0.3
    start = (0.8, 0.2, -0.5, 0.1)
    w1, b1, w2, b2 = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in start)
    hidden = torch.tanh(w1 * x + b1)
    y = w2 * hidden + b2
    loss = (y - t) ** 2 / 2
    loss.backward()
    gradients = [w.grad.item() for w in (w1, b1, w2, b2)]
    after = [w - 0.1 * g for w, g in zip(start, gradients, strict=True)]
    new_loss = ((after[2] * math.tanh(after[0] * x + after[1]) + after[3]) - t) ** 2 / 2
    figures = [hidden.item(), y.item(), loss.item(), 1 - hidden.item() ** 2, *gradients, *after, new_loss]
    holds("backpropagation", *(f"{value:.6f}" for value in figures))
    moved = [((-0.5 * math.tanh((0.8 + e) * x + 0.2) + 0.1) - t) ** 2 / 2 for e in (1e-4, -1e-4)]
    holds("backpropagation", *(f"{value:.9f}" for value in moved), f"{(moved[0] - moved[1]) / 2e-4:.5f}")


def test_descent():
    for rate in (0.1, 0.6, 1.1):
        w, row = 0.0, ["0"]
        for _ in range(5):
            w -= rate * 2 * (w - 3)
            row.append(f"{round(w, 4):g}" if abs(w) < 10 else f"{w:.3f}")
        holds("going-downhill", f"rate {rate}: {' '.join(row)}")
    w = speed = 0.0
    path = []
    for _ in range(6):
        speed = 0.9 * speed + 2 * (w - 3)
        w -= 0.1 * speed
        path.append(w)
    assert path[2] < 3 < path[3]
    assert round(path[5], 1) == 5.1
    for stretch in (0.8, 0.1):
        s = stretch
        for _ in range(3):
            s = 1.5 * s - 0.5 * s**3
            holds("going-downhill", f"{s:.4f}".rstrip("0") if s < 0.9999 else f"{s:.5f}")


def test_adamw_step():
    weight = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.1)
    weight.grad = torch.tensor([6.0], dtype=torch.float64)
    optimizer.step()
    holds("going-downhill", f"stands at {weight.item():.3f}")


def test_byte_pairs():
    counts = {"fold": 4, "folded": 3, "folder": 2, "unfold": 2, "bold": 3, "sewn": 1}
    pieces = {word: list(word) for word in counts}

    def size():
        return sum(len(pieces[word]) * n for word, n in counts.items())

    holds("tokens-and-byte-pairs", f"that is {size()} tokens")
    for merge in range(1, 7):
        pairs = {}
        for word, n in counts.items():
            for pair in zip(pieces[word], pieces[word][1:], strict=False):
                pairs[pair] = pairs.get(pair, 0) + n
        best = max(pairs, key=pairs.get)
        for word, old in pieces.items():
            new, i = [], 0
            while i < len(old):
                joined = tuple(old[i : i + 2]) == best
                new.append("".join(best) if joined else old[i])
                i += 2 if joined else 1
            pieces[word] = new
        holds("tokens-and-byte-pairs", f"{merge} {best[0]} + {best[1]} {pairs[best]} {size()}")
    holds("tokens-and-byte-pairs", f"{4.2 / (math.log(2) * 3.5):.2f} bits per byte")


def test_rotation():
    def turn(v, angle):
        c, s = math.cos(angle), math.sin(angle)
        return np.array([v[0] * c - v[1] * s, v[0] * s + v[1] * c])

    query, key = (1, 2), (2, 1)
    for q, k in ((3, 1), (10, 8)):
        a, b = turn(query, q / 2), turn(key, k / 2)
        figures = [f"{value:.4f}" for value in (*a, *b, a @ b)]
        holds("embeddings-and-positions", *figures)
    slowest = 10_000 ** (-62 / 64)
    holds(
        "embeddings-and-positions", f"{slowest:.6f}", f"{2 * math.pi:.2f}", f"{round(2 * math.pi / slowest, -3):,.0f}"
    )


def test_attention():
    queries, keys, values = (
        np.array(m, float) for m in (((1, 0), (0, 1), (1, 1)), ((1, 0), (1, 1), (0, 2)), ((1, 0), (0, 2), (4, 4)))
    )
    scores = queries @ keys.T / math.sqrt(2)
    for row in (1, 2):
        shares = softmax(scores[row, : row + 1])
        out = shares @ values[: row + 1]
        holds("attention-worked-out", *(f"{v:.4f}" for v in shares), f"({out[0]:.4f}, {out[1]:.4f})")
    holds("attention-worked-out", f"{np.exp(scores[2]).sum():.4f}", f"{512 * 513 // 2:,}")


def test_counting_a_model():
    width, kv, feed, vocabulary, layers = 256, 2 * 64, 768, 4096, 6
    gains = 2 * width + 2 * 64
    block = 2 * width * width + 2 * width * kv + 3 * width * feed + gains
    total = layers * block + vocabulary * width + width
    holds("the-transformer-block", *(f"{n:,}" for n in (3 * width * feed, gains, block, layers * block, total)))
    assert round(3 * width * feed / block, 2) == 0.75
    assert total * 4 // 10**6 == 23
    vector = np.array([3.0, 4.0])
    holds("the-transformer-block", *(f"{v:.4f}" for v in vector / np.sqrt((vector**2).mean())), f"{math.log(4096):.3f}")


def test_half_formats():
    for dtype in (torch.bfloat16, torch.float16):
        holds("half-the-bits", f"{torch.tensor(0.1, dtype=dtype).item():.8f}", f"{torch.finfo(dtype).eps:.2g}")
    assert torch.tensor(256.0, dtype=torch.bfloat16) + 1 == 256
    assert torch.tensor(1.0, dtype=torch.bfloat16) + 0.001 == 1
    assert torch.finfo(torch.float16).max == 65504
    assert torch.tensor(1e-8, dtype=torch.float16) == 0


def test_writing():
    for temperature, digits in ((1, 3), (0.5, 3), (2, 3)):
        holds("caches-and-dice", *(f"{v:.{digits}f}" for v in softmax(np.array([2, 1, 0]) / temperature)))
    holds("caches-and-dice", f"{2 * 6 * 2 * 64 * 4:,}", f"{2 * 6 * 2 * 64 * 4 * 512:,}")
    assert 2 * 6 * 2 * 64 * 4 * 512 == 3 * 2**20
    shares = np.array([0.50, 0.20, 0.12, 0.08, 0.06, 0.04])
    assert np.searchsorted(shares.cumsum(), 0.8) + 1 == 3
    assert (shares >= 0.2 * shares[0]).sum() == 3
    assert math.isclose(shares.sum(), 1)


def test_first_losses_and_exercises():
    holds("how-to-read-a-loss-curve", *(f"{math.log(n):.2f}" for n in (256, 2048, 8192)))
    bits = 2500 * 3 / math.log(2)
    holds(
        "exercises-with-solutions", f"{bits:,.0f}", f"{bits / 9000:.3f}", f"{3 * math.log(2):.4f}", f"{100 * 40 + 40:,}"
    )
    holds(
        "exercises-with-solutions", f"{2 * 4 * 4 * 32 * 2:,}", f"{2 * 4 * 4 * 32 * 2 * 1000:,}", f"{600_000 / 4096:.1f}"
    )
    vector = np.array([1.0, 2.0, 2.0])
    holds("problem-sheet", *(f"{v:.4f}" for v in vector / np.sqrt((vector**2).mean())), f"{math.sqrt(3):.4f}")


def test_encodings():
    for character, code in (("A", "41"), ("é", "C3 A9"), ("ß", "C3 9F"), ("€", "E2 82 AC"), ("😀", "F0 9F 98 80")):
        assert character.encode("utf-8").hex(" ").upper() == code
        holds("encodings-and-unicode", f"{character} U+{ord(character):04X} {code}")
    assert b"\xe9".decode("cp1251") == "й"
    assert b"\xe9".decode("iso8859-7") == "ι"
    assert "café".encode().decode("cp1252") == "cafÃ©"
