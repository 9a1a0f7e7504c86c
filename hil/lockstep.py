"""The bench in memory: plant and devices move exactly when the caller moves time."""

from collections.abc import Mapping

from drivers.port import BytePort
from hil.body import Body
from hil.emulator.device import Emulator
from hil.errors import BenchError


class DeviceBench:
    """A body and its devices, each at the device end of a port.

    What the host wrote since the last step reaches the device at the beginning of the next one,
    so that a run is a function of the bytes and the times of the steps.

    Args:
        body: The plant, or a log that is played.
        devices: Emulators by the name of their port.
        ports: The device end of each port.
        now_ns: Monotonic time at which the bench begins.
    """

    def __init__(
        self,
        body: Body,
        devices: Mapping[str, Emulator],
        ports: Mapping[str, BytePort],
        now_ns: int = 0,
    ) -> None:
        if devices.keys() != ports.keys():
            raise BenchError("every device needs a port, and every port a device")
        self.body = body
        self.devices = dict(devices)
        self._ports = dict(ports)
        self._now_ns = now_ns

    def advance(self, to_ns: int) -> None:
        """Step everything up to a monotonic time; a time that has passed changes nothing."""
        if to_ns <= self._now_ns:
            return
        for name, device in self.devices.items():
            if data := self._ports[name].read():
                device.receive(data, self._now_ns)
        self.body.advance(to_ns)
        for name, device in self.devices.items():
            if data := device.transmit(to_ns):
                self._ports[name].write(data)
        self._now_ns = to_ns

    def connect(self, name: str, port: BytePort) -> None:
        """Plug a device into another port, as after an unplug."""
        if name not in self.devices:
            raise BenchError(f"the bench has no device named {name}")
        self._ports[name] = port
