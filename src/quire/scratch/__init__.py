"""The same ideas by hand: NumPy, float64, every gradient derived on paper, no autograd.

Each computation is a pair of functions that stand side by side: `thing(x, ...) -> y, kept` and
`thing_backward(dy, kept) -> dx, ...`, where `dy` is the gradient of the loss with respect to `y`. This room imports
nothing else of quire; the tests compare it with `quire.model` and with PyTorch.
"""
