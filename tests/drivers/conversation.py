"""A driver's handshake played without a port: what it says, answered by a table."""

from drivers.driver import Expect, Send


def play(steps, answers):
    """Run a handshake; ``answers`` maps a reply's type to the reply. Returns the bytes sent."""
    sent, answer = [], None
    try:
        while True:
            step = steps.send(answer)
            answer = None
            if isinstance(step, Send):
                sent.append(step.data)
            elif isinstance(step, Expect):
                answer = answers.get(step.reply)
                assert answer is not None or step.optional, f"{step.silence}"
    except StopIteration:
        return sent
