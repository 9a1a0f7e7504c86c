"""Many robots at once against a real broker: what a plant's broker and network have to carry."""
