"""Wire bytes to measurements and back: ports, framing, codecs and the runner that drives them."""
