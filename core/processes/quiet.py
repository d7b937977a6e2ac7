"""Whether a process hangs: for how long it has shown no sign of life.

A process that computes, however slowly because others do, is left alone; so is one that says that it lives.
One that does neither was stopped, or its threads wait for each other, and nothing will come of it.
"""

IDLE_SHARE = 0.01  # of a core: threads that wait for each other wake up now and then
LONGEST_LOOK = 2.0  # seconds: what is counted of the time in which the one who looks did not look either


class QuietTime:
    """``look`` often: it gives the seconds without a sign."""

    def __init__(self, *, now: float) -> None:
        self._looked_at = now
        self._sign: float | None = None
        self._cpu = 0.0
        self._quiet = 0.0

    def look(self, *, now: float, sign: float, cpu_seconds: float) -> float:
        """``sign``: when the process was last heard of, any number that changes with each sign.

        ``cpu_seconds``: what all of its threads have computed so far.
        """
        step = min(now - self._looked_at, LONGEST_LOOK)
        self._looked_at = now
        has_computed = cpu_seconds - self._cpu > IDLE_SHARE * max(self._quiet + step, 1.0)
        if sign != self._sign or has_computed:
            self._sign, self._cpu, self._quiet = sign, cpu_seconds, 0.0
        else:
            self._quiet += step
        return self._quiet
