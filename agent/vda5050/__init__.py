"""The language of the shared platform: VDA 5050."""
