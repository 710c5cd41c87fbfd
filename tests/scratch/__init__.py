"""The network by hand against finite differences, PyTorch and the model."""
