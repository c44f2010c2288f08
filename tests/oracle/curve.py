"""The curve of a model (definitions 2), with the falls of 1.6 in it and taken out of it.

Belongs here: readings → points of ``C`` and ``C*`` → their value at a day. Does not belong here:
which readings count (``cleaning``); months, totals, baselines. Days are proleptic ordinals
(``date.toordinal``) throughout.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from . import Switches
from .cleaning import Reading, settle


@dataclass(frozen=True)
class Value:
    """``C`` or ``C*`` on a day, the values at the two points used, and their distance in days.

    ``readings``: days of the readings the points stand on. ``era``: the number of falls of unknown
    size before the day; values of different eras cannot be compared.
    """

    value: float
    low: float
    high: float
    gap: int
    uses_chain: bool
    readings: tuple[int, ...]
    era: int


@dataclass(frozen=True)
class Window:
    """``W*`` on a day (or the ``W`` nearest to it), its bracket (or distance), its readings."""

    value: float
    gap: int
    readings: tuple[int, ...]


@dataclass(frozen=True)
class Point:
    """One point of ``C``; ``known_on`` is the day of the reading it stands on, None at birth."""

    day: int
    value: float
    kind: str
    known_on: int | None


class Curve:
    """The points of one model (definitions 2), and ``C``, ``C*`` and ``W*`` over them.

    In a gap that ends in a fall (1.6 b and c) ``C`` runs to what it would have reached and steps
    down with the later reading; ``C*`` is ``C`` without the steps. Where the gap's downloads are
    unknown neither is defined inside it, and ``C*`` begins anew behind it.
    """

    def __init__(
        self, created_on: int | None, readings: Sequence[Reading], switches: Switches | None = None
    ) -> None:
        """``readings`` are the candidates in order of day; ``created_on`` an ordinal or None."""
        self.readings, self.steps, _ = settle(readings)
        self.created_on = created_on
        self.reading_days = [reading.day for reading in self.readings]
        self.counter_days = [reading.day for reading in self.readings if reading.a is not None]
        self.fault_days = {reading.day for reading in self.readings if reading.is_faulty}
        self.breaks = [(step.since, step.day) for step in self.steps if step.downloads is None]
        self._window_days = [reading.day for reading in self.readings if reading.w is not None]
        self._windows = [reading.w for reading in self.readings if reading.w is not None]

        points = {point.day: point for point in self._solid_points()}
        solid = sorted((day, point.value) for day, point in points.items())
        bracket = (switches or Switches()).chain_bracket_days
        for point in self._window_back():
            points.setdefault(point.day, replace(point, value=_clamp(point.day, point.value, solid)))
        for point in self._window_chain(bracket):
            points.setdefault(point.day, replace(point, value=max(point.value, 0.0)))

        self._points = [points[day] for day in sorted(points) if not self._is_in_a_fall(day)]
        self.days = [point.day for point in self._points]
        self.values = [point.value for point in self._points]
        self.kinds = [point.kind for point in self._points]
        self._observed_days = [
            point.day for point in self._points if point.kind in ("reading", "window_life")
        ]  # fmt: skip
        self._break_ends = [end for _, end in self.breaks]
        self._corrections = {
            step.day: step.correction for step in self.steps if step.correction is not None
        }  # fmt: skip
        self.clean = self._without_falls()

    def _is_in_a_fall(self, day: int) -> bool:
        """Whether ``day`` lies inside a gap that ends in a fall, where ``C`` is one straight line."""
        return any(step.since < day < step.day for step in self.steps)

    def _without_falls(self) -> list[float]:
        """``C*`` at the points: the steps taken out, then the running maximum; anew per era."""
        found: list[float] = []
        taken_out = 0.0
        for point in self._points:
            if point.day in self._break_ends:
                taken_out = 0.0
                found.append(point.value)
                continue
            taken_out += self._corrections.get(point.day, 0.0)
            value = point.value - taken_out
            found.append(max(value, found[-1]) if found else value)
        return found

    def _era(self, day: int) -> int:
        return bisect_right(self._break_ends, day)

    def touches_break(self, start: int, end: int) -> bool:
        """Whether ``start`` and ``end`` lie on different sides of a break, or one of them inside."""
        return any(start < after and end > before for before, after in self.breaks)

    def _solid_points(self) -> list[Point]:
        """Rules 2.1, 2.2 and 2.4. On the day of creation a reading replaces the zero."""
        points: list[Point] = []
        if self.created_on is not None:
            points.append(Point(self.created_on, 0.0, "birth", None))
        for reading in self.readings:
            if reading.a is not None:
                points.append(Point(reading.day, float(reading.a), "reading", reading.day))
            elif (
                reading.w is not None
                and self.created_on is not None
                and 0 <= reading.day - self.created_on <= 30
            ):
                points.append(Point(reading.day, float(reading.w), "window_life", reading.day))
        return points

    def _window_back(self) -> list[Point]:
        """Rule 2.3: thirty days before an unflagged reading with both counters.

        A fall in those thirty days spoils it too: ``A - W`` is then not what the counter said.
        """
        found: list[Point] = []
        for reading in self.readings:
            day = reading.day - 30
            if reading.a is None or reading.w is None or reading.flag is not None:
                continue
            if self.created_on is not None and day <= self.created_on:
                continue
            at = bisect_left(self.counter_days, day - 7)
            if at < len(self.counter_days) and self.counter_days[at] <= day + 7:
                continue
            if any(day < step.day <= reading.day for step in self.steps):
                continue
            found.append(Point(day, float(reading.a - reading.w), "window_back", reading.day))
        return found

    def _window_chain(self, bracket: int) -> list[Point]:
        """Rule 2.5: window by window back from the first reading that has the all-time counter."""
        first = next((reading for reading in self.readings if reading.a is not None), None)
        if first is None or first.a is None:
            return []
        found, value = [], float(first.a)
        for step in range(1, 13):
            window = self.window(first.day - 30 * (step - 1))
            day = first.day - 30 * step
            if window is None or window.gap > bracket:
                break
            if self.created_on is not None and day <= self.created_on:
                break
            value -= window.value
            found.append(Point(day, value, "window_chain", first.day))
        return found

    def at(self, day: int, *, clean: bool) -> Value | None:
        """``C*`` (clean) or ``C`` on ``day``; None outside the points and inside a break."""
        values = self.clean if clean else self.values
        at = bisect_left(self.days, day)
        if at == len(self.days):
            return None
        era = self._era(day)
        if self.days[at] == day:
            value = values[at]
            return Value(value, value, value, 0, *self._grounds(at, at), era)
        if at == 0 or self.days[at] in self._break_ends:
            return None
        left, right = self.days[at - 1], self.days[at]
        low, high = values[at - 1], values[at]
        if not clean:
            high -= self._corrections.get(right, 0.0)  # its limit from the left
        value = low + (high - low) * (day - left) / (right - left)
        return Value(value, low, high, right - left, *self._grounds(at - 1, at), era)

    def _grounds(self, left: int, right: int) -> tuple[bool, tuple[int, ...]]:
        """(whether a point of 2.5 is among the two, the days of the readings they stand on)."""
        used = self._points[left : right + 1]
        days = tuple(point.known_on for point in used if point.known_on is not None)
        return any(point.kind == "window_chain" for point in used), days

    def window(self, day: int) -> Window | None:
        """``W*`` on ``day`` and its bracket in days; None outside the window readings."""
        at = bisect_left(self._window_days, day)
        if at == len(self._window_days):
            return None
        if self._window_days[at] == day:
            return Window(float(self._windows[at]), 0, (day,))
        if at == 0:
            return None
        left, right = self._window_days[at - 1], self._window_days[at]
        low, high = self._windows[at - 1], self._windows[at]
        value = low + (high - low) * (day - left) / (right - left)
        return Window(value, right - left, (left, right))

    def nearest_window(self, day: int) -> Window | None:
        """The window reading nearest to ``day`` and its distance in days; of two, the later."""
        at = bisect_left(self._window_days, day)
        near = [index for index in (at, at - 1) if 0 <= index < len(self._window_days)]
        if not near:
            return None
        index = min(near, key=lambda index: abs(self._window_days[index] - day))
        found = self._window_days[index]
        return Window(float(self._windows[index]), abs(found - day), (found,))

    def is_observed_near(self, day: int, reach: int) -> bool:
        """Whether a reading that is itself a point of ``C`` (2.2, 2.4) lies within ``reach`` days."""
        at = bisect_left(self._observed_days, day - reach)
        return at < len(self._observed_days) and self._observed_days[at] <= day + reach


def _clamp(day: int, value: float, solid: Sequence[tuple[int, float]]) -> float:
    """``value`` between its neighbours among birth and readings (2.3); never below 0."""
    at = bisect_left(solid, (day, float("-inf")))
    lower = solid[at - 1][1] if at > 0 else 0.0
    upper = solid[at][1] if at < len(solid) else float("inf")
    return max(lower, min(value, upper))


def curves(
    created: Mapping[str, int | None],
    readings: Mapping[str, Sequence[Reading]],
    switches: Switches,
    until: int | None = None,
) -> dict[str, Curve]:
    """Canonical id → curve for every id of ``created``, from candidates dated ≤ ``until`` only.

    Falls are judged among these alone, so that what is read after ``until`` moves nothing (5.5).
    """
    return {
        model_id: Curve(
            born,
            [r for r in readings.get(model_id, ()) if until is None or r.day <= until],
            switches,
        )
        for model_id, born in created.items()
    }
