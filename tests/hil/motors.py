"""What is behind an emulated base when no plant is needed."""


class Motors:
    """Motors without inertia; speeds are what was asked for."""

    def __init__(self):
        self.speeds = (0.0, 0.0)
        self.counts = (0, 0)
        self.braked = False

    def set_wheel_speeds(self, left_radps, right_radps):
        self.speeds = (left_radps, right_radps)

    def wheel_speeds_radps(self):
        return self.speeds

    def encoder_counts(self):
        return self.counts

    def set_brake(self, engaged):
        self.braked = engaged

    def rims_mmps(self, wheel_radius_m):
        """Return how fast the rims of wheels of this radius go, in mm/s."""
        return tuple(round(speed * wheel_radius_m * 1000, 3) for speed in self.speeds)
