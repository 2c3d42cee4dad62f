"""The encoder engine: labels and vectors from a replica of some 150 MB, without vLLM and without torch."""
