"""Errors of the bench."""

from drivers.errors import HaulierError


class BenchError(HaulierError):
    """The bench cannot do what it was asked to.

    Example scenarios: a spec with an unknown key, an obstacle named twice, a start pose inside a
    wall, a bench process that does not answer.
    """

    code = "BENCH_ERROR"
    vda_type = "benchError"
    hint = "Correct the bench spec or the case that the text names; the product is not at fault."
    exit_code = 65


class ExtraMissing(HaulierError):
    """Something of the bench is not installed on this computer, as is right on a robot's."""

    code = "EXTRA_MISSING"
    vda_type = "benchError"
    hint = "Install the bench: pip install 'haulier[demo]'."
    exit_code = 69


class ContractBroken(HaulierError):
    """A driver does not keep what every driver owes.

    Example scenarios: its events depend on how the stream is cut, a damaged frame gives points, it
    does not come back after the plug was pulled.
    """

    code = "CONTRACT_BROKEN"
    vda_type = "driverError"
    hint = "Correct the driver; drivers/README.md tells what each check is about."
    exit_code = 1
