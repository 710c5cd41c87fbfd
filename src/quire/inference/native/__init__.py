"""The transformer as one compiled function for CPUs: read `forward` first, then `kernels` and what it calls."""
