"""The hardware-in-the-loop bench: plant, byte-exact device emulators, rigs and cases."""
