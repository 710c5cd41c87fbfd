"""Model folders of the ecosystem, in and out."""
