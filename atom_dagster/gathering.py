"""What to pull for which months, and what landing then holds of them.

Belongs here: choosing between sources that can observe a month, pulling what is missing within their
quota, and saying why a month has nothing. Does not belong here: how a source is asked (``sources``),
loading (``assets.raw``), or Dagster.

A month asked for is filled by the first archive, in the configured order, that holds a readable
observation in it; the next ones are asked only for what the earlier ones left. What landing holds of
any archive is loaded, whoever answered today: which of two readings of a day counts is dbt's to say.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date, timedelta

from atom_dagster import progress
from atom_dagster.landing import Landing, LandingError, Pull
from atom_dagster.partitions import month_of, months_between, next_month
from atom_dagster.settings import Archive, Endpoints, Settings
from atom_dagster.sources import (
    Missing,
    NotObservable,
    RateLimited,
    Refused,
    Shrunk,
    SourceError,
    Unreachable,
    archive,
    archive_listing,
    archive_series,
    archive_shrink,
    hub,
    openrouter,
)
from atom_dagster.sources.archive import Snapshot
from atom_dagster.sources.http import PATIENCE
from atom_dagster.warehouse import DuplicateKey, Warehouse

REFRESHED_DAYS = 45
"""OpenRouter restates past days: every pull asks again for the months that ended less than this ago."""

FAULTS = (SourceError, LandingError, DuplicateKey)
"""What may go wrong with one pull without costing its neighbours."""

SILENCES = 3
"""Files in a row that nobody answers for, after which an archive is asked for no more."""


@dataclass
class Gathered:
    """What a source holds for the months asked, and what is wrong with a month or missing in it."""

    by_month: dict[date, list[Pull]] = field(default_factory=dict)
    failed: dict[date, str] = field(default_factory=dict)
    """Why a month is not what it should be; such a month may have pulls, which are loaded."""
    unobservable: dict[date, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    """Faults that belong to no single month, such as archives that cannot be listed."""
    notes: dict[date, str] = field(default_factory=dict)
    """What went wrong with a month that another archive filled."""
    warnings: list[str] = field(default_factory=list)
    """What people should hear although no month failed for it."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Pulls in landing whose manifest cannot be read, by pull id, and the sentence about each."""


@dataclass(frozen=True)
class Place:
    """Where a pull goes and what it may know: landing, settings, and the warehouse as it stands."""

    landing: Landing
    settings: Settings
    warehouse: Warehouse | None = None


@dataclass
class _Past:
    """What came of asking the archives, month by month."""

    left: set[date]
    """Months that no archive asked so far has filled."""
    faults: dict[date, list[str]] = field(default_factory=dict)
    """Why files failed, by a month they could have observed, first come first."""
    shrunk: dict[date, str] = field(default_factory=dict)
    """Snapshots of complete archives that were refused since they shrank: no other archive excuses that."""
    filled_by: dict[date, str] = field(default_factory=dict)
    """The archive that filled a month after another one had failed for it."""
    errors: list[str] = field(default_factory=list)
    """Archives that could not be listed."""
    absent: list[str] = field(default_factory=list)
    """Archives that are gone, or not for us: that is no fault as long as another one answers."""
    answered: int = 0
    spans: list[str] = field(default_factory=list)
    """What each archive that answered holds, for sentences."""


def gather_hub(months: Sequence[date], place: Place, endpoints: Endpoints) -> Gathered:
    """Pull what is missing of the Hub for these months, then say what landing holds for each."""
    landing, settings = place.landing, place.settings
    gathered, past = Gathered(), _Past(set(months))
    present = month_of(settings.today())
    if present in months and endpoints.hub:
        _pull_live_hub(place, endpoints, gathered)
    for number, source in enumerate(endpoints.archives):
        asked = {m for m in past.left if source.since is None or next_month(m) > source.since}
        if number > 0 and endpoints.hub and present not in {*past.faults, *gathered.failed}:
            # The live Hub has observed the month under way: nobody else need be asked for it.
            asked.discard(present)
        if asked:
            _ask_archive(source, asked, place, endpoints, past, gathered.warnings)

    observed: dict[date, list[Pull]] = {}
    for source in endpoints.archives:
        for month, pulls in _observed(landing, source.name, gathered.unreadable).items():
            observed.setdefault(month, []).extend(pulls)
    for pull in landing.pulls("hub_live", unreadable=gathered.unreadable):
        observed.setdefault(month_of(date.fromisoformat(pull.facts["observed_on"])), []).append(pull)
    _conclude(gathered, past, months, observed)
    gathered.warnings += _ineffective(settings.accepted_shrinks, endpoints, landing)
    return gathered


def _conclude(
    gathered: Gathered, past: _Past, months: Sequence[date], observed: dict[date, list[Pull]]
) -> None:
    """Say of each month what is there, and what is wrong with it."""
    gathered.errors += gathered.unreadable.values()
    if past.answered == 0:
        gathered.errors += past.errors or past.absent[:1]
    gathered.warnings += [why for why in (*past.absent, *past.errors) if why not in gathered.errors]
    nobody = (*past.errors, *(past.absent if past.answered == 0 else ()))
    for month in months:
        if month in observed:
            gathered.by_month[month] = observed[month]
        faults = " ".join(dict.fromkeys(past.faults.get(month, [])))
        if month in gathered.failed:
            continue
        if month in past.shrunk:
            gathered.failed[month] = past.shrunk[month]
        elif faults and month in past.left:
            gathered.failed[month] = faults
        elif month in observed:
            if faults:
                gathered.notes[month] = f"It was filled by {past.filled_by[month]}, since {faults}"
        elif nobody:  # an archive might have observed it, and could not be asked
            gathered.failed[month] = nobody[0]
        else:
            gathered.unobservable[month] = _unobservable(month, observed, past)
    gathered.warnings += [f"{month:%Y-%m}: {note}" for month, note in gathered.notes.items()]


def _ineffective(accepted: Collection[date], endpoints: Endpoints, landing: Landing) -> list[str]:
    """A sentence for each day whose shrunken snapshot was accepted, and of which there is none."""
    used = {
        pull.facts["folder_date"]
        for source in endpoints.archives
        for pull in landing.pulls(source.name, unreadable={})
        if "shrink_accepted_from_rows" in pull.facts
    }
    return [
        f"--accept-shrink {day} changed nothing: no snapshot of that day was pulled that holds less than half"
        " of the one before."
        for day in sorted(accepted)
        if day.isoformat() not in used
    ]


def _unobservable(month: date, observed: Collection[date], past: _Past) -> str:
    held = f"{min(observed):%Y-%m} to {max(observed):%Y-%m}" if observed else "no month"
    archives = "".join(f" {span}," for span in past.spans)
    return (
        f"No source of Hub readings can observe {month:%Y-%m}: the live Hub knows only now,{archives} and"
        f" landing holds {held}."
    )


def _observed(landing: Landing, source: str, unreadable: dict[str, str]) -> dict[date, list[Pull]]:
    """An archive's pulls by the months they have readings of; ``unreadable`` as in ``Landing.pulls``."""
    by_month: dict[date, list[Pull]] = {}
    for pull in landing.pulls(source, unreadable=unreadable):
        for month in {month_of(day) for day in archive.observed_days(pull)}:
            by_month.setdefault(month, []).append(pull)
    return by_month


def _pull_live_hub(place: Place, endpoints: Endpoints, gathered: Gathered) -> None:
    tracked, organizations = [], []
    settings, warehouse = place.settings, place.warehouse
    if warehouse and warehouse.path.exists():
        with warehouse.reading("the list of tracked models") as connection:
            newest = "qualify as_of = max(as_of) over ()"
            tracked = [
                row[0]
                for row in connection.execute(
                    f"select model_id, as_of from raw.tracked_models {newest} order by 1"
                ).fetchall()
            ]
            organizations = [
                row[0]
                for row in connection.execute(
                    f"select hf_org, as_of from raw.organization_regions {newest} order by 1"
                ).fetchall()
            ]
    try:
        hub.pull(
            endpoints,
            place.landing,
            now=settings.now,
            scope=settings.hub_scope,
            organizations=organizations,
            tracked=tracked,
            progress=lambda what, done, total: progress.report(f"Hub {what}", done, total),
        )
    except FAULTS as error:
        gathered.failed[month_of(settings.today())] = str(error)


def _ask_archive(
    source: Archive, asked: set[date], place: Place, endpoints: Endpoints, past: _Past, warnings: list[str]
) -> None:
    """Pull what one archive has of the months asked, and strike off those that it fills."""
    faults: dict[date, list[str]] = {}
    try:
        listed = archive_listing.snapshots(endpoints, source, problems=warnings)
    except (Missing, Refused) as error:
        past.absent.append(str(error))
    except FAULTS as error:
        past.errors.append(str(error))
    else:
        past.answered += 1
        past.spans.append(_span(source, listed))
        for snapshot, fault in _pull_missing(source, listed, asked, place, endpoints):
            for month in sorted(archive_listing.months_of(source, snapshot) & asked or asked):
                faults.setdefault(month, []).append(str(fault))
                if isinstance(fault, Shrunk):
                    past.shrunk.setdefault(month, str(fault))
    for month in past.left & set(_observed(place.landing, source.name, {})) - set(faults):
        past.left.discard(month)
        past.filled_by[month] = source.name
    for month, whys in faults.items():
        past.faults.setdefault(month, []).extend(whys)


def _span(source: Archive, listed: Sequence[Snapshot]) -> str:
    days = [snapshot.folder_date for snapshot in listed if snapshot.folder_date]
    if not days:
        since = f" since {source.since}" if source.since else ""
        return f"{source.name} holds one series{since}"
    return f"{source.name} holds {min(days)} to {max(days)}"


def _pull_missing(
    source: Archive, listed: Sequence[Snapshot], asked: set[date], place: Place, endpoints: Endpoints
) -> list[tuple[Snapshot, Exception]]:
    """Pull the files that may observe the months asked and are not landed; those that failed, and why.

    ``settings.pull_workers`` files come at once; the quota they draw on is paced by ``http.Patience``.
    """
    settings, landing = place.settings, place.landing
    landed = landing.pulls(source.name, unreadable={})
    if (
        source.layout == "series"
        and landed
        and not archive_series.may_gain(landed, asked, settings.archive_days, settings.today())
    ):
        return []
    missing = [
        snapshot
        for snapshot in archive_listing.candidates(source, listed, asked, settings.archive_days)
        if not _is_held(snapshot, source, landing, landed)
    ]
    if not missing:
        return []
    sizes = {
        date.fromisoformat(pull.facts["folder_date"]): archive_shrink.size_of(pull)
        for pull in landed
        if pull.facts["folder_date"]
    }
    listed_days = archive_shrink.may_follow(source, listed, settings.archive_days)
    tasks: dict[Snapshot, Future[Pull]] = {}
    on_way: dict[date, Future[Pull]] = {}
    watch = _Watch()

    def size_on(day: date) -> archive_shrink.Size | None:
        """Of a snapshot that landed, or of one on its way once it is there.

        Tasks begin in the order of their days and wait only for earlier ones, so one of them always
        goes on.
        """
        if day in on_way and on_way[day].exception() is None:
            return archive_shrink.size_of(on_way[day].result())
        return sizes.get(day)

    @functools.cache
    def rows_of(snapshot: Snapshot) -> int | None:
        try:
            return archive_shrink.rows_of(endpoints, source, snapshot, PATIENCE.until(watch.go_on))
        except FAULTS:
            return None

    def before(snapshot: Snapshot) -> archive_shrink.Size | None:
        return archive_shrink.before(
            snapshot,
            listed_days,
            {*sizes, *on_way},
            size_on,
            rows_of,
            settings.accepted_shrinks,
        )

    def one(snapshot: Snapshot) -> Pull:
        watch.check()
        try:
            pull = archive.pull(
                endpoints,
                landing,
                snapshot,
                archive=source,
                now=settings.now,
                before=lambda: before(snapshot),
                accepted_shrinks=settings.accepted_shrinks,
                every=settings.archive_days,
                progress=lambda *_: watch.go_on(),
                patience=PATIENCE.until(watch.go_on),
            )
        except FAULTS as error:
            watch.failed(error)
            raise
        watch.answered()
        return pull

    what = "Hub archive" if source.name == "hub_archive" else source.name.replace("hub_", "Hub ")
    failed: dict[Snapshot, Exception] = {}
    with ThreadPoolExecutor(settings.pull_workers, "pull") as pool:
        begun = threading.Event()

        def task_of(snapshot: Snapshot) -> Pull:
            begun.wait()  # until every task is known to the others
            return one(snapshot)

        for snapshot in missing:
            tasks[snapshot] = pool.submit(task_of, snapshot)
            if snapshot.folder_date:
                on_way[snapshot.folder_date] = tasks[snapshot]
        begun.set()
        by_task = {task: snapshot for snapshot, task in tasks.items()}
        try:
            for done, task in enumerate(as_completed(by_task)):
                progress.report(what, done, len(missing))
                error = task.exception()
                if isinstance(error, FAULTS):
                    failed[by_task[task]] = error
                else:
                    task.result()
        except BaseException:
            # Ctrl-C, or a fault of our own: what has begun ends at its next piece or look, and the rest
            # never begins.
            watch.is_over = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    progress.report(what, len(missing), len(missing))
    return [(snapshot, failed[snapshot]) for snapshot in missing if snapshot in failed]


def _is_held(snapshot: Snapshot, source: Archive, landing: Landing, landed: Sequence[Pull]) -> bool:
    if source.layout == "revisions":
        snapshot = archive.remembered(landing, source, snapshot)
    return any(archive.holds(pull, snapshot) for pull in landed)


class _Watch:
    """Ends the asking of an archive that does not answer, or says "later"; shared by its tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silences = 0
        self._why: Exception | None = None
        self.is_over = False

    def go_on(self) -> None:
        """Raise once nobody waits for what is being downloaded, or waited for."""
        if self.is_over:
            raise CancelledError

    def check(self) -> None:
        """Raise what ended the asking, if it has ended."""
        if self._why is not None:
            raise self._why

    def failed(self, error: Exception) -> None:
        """Note a fault of one file."""
        with self._lock:
            self._silences = self._silences + 1 if isinstance(error, Unreachable) else 0
            if self._silences >= SILENCES or isinstance(error, RateLimited):
                self._why = self._why or error

    def answered(self) -> None:
        """Note a file that came."""
        with self._lock:
            self._silences = 0


def gather_rankings(months: Sequence[date], place: Place, endpoints: Endpoints) -> Gathered:
    """Pull what is missing or may have been restated of OpenRouter, then say what landing holds."""
    landing, settings = place.landing, place.settings
    gathered = Gathered()
    yesterday = settings.today() - timedelta(days=1)
    first, last = endpoints.rankings_span or (openrouter.FIRST_DAY, yesterday)
    in_reach = [month for month in months if month_of(first) <= month <= last]
    # The months that may be restated are asked for by themselves: the same question tomorrow, and no
    # new pull as long as the answer is the same.
    stale = yesterday - timedelta(days=REFRESHED_DAYS)
    whole = _wholly_asked(landing, first, last)
    unheld = [month for month in in_reach if month not in whole and next_month(month) <= stale]
    restated = [month for month in in_reach if next_month(month) > stale]
    asked = unheld + restated
    refusal: str | None = None
    for span in (unheld, restated):
        if not span:
            continue
        try:
            openrouter.pull_rankings(
                endpoints,
                landing,
                now=settings.now,
                start=max(min(span), first),
                end=min(next_month(max(span)) - timedelta(days=1), last),
                progress=lambda what, done, total: progress.report(f"OpenRouter {what}", done, total),
            )
        except FAULTS as error:
            # Old months may be out of reach, as they are without a key; the newest never are.
            if isinstance(error, NotObservable) and span is unheld:
                refusal = str(error)
            else:
                gathered.errors.append(str(error))
    held = _rankings_by_month(landing, gathered.unreadable)
    for month in months:
        if month in held:
            gathered.by_month[month] = held[month]
        elif gathered.errors and month in asked:
            gathered.failed[month] = gathered.errors[0]
        else:
            gathered.unobservable[month] = refusal or (
                f"OpenRouter's rankings cannot observe {month:%Y-%m}: here they run from {first} to {last}."
            )
    gathered.errors += gathered.unreadable.values()
    return gathered


def _wholly_asked(landing: Landing, first: date, last: date) -> set[date]:
    """Months that one pull asked for to their end, as far as they can be asked for.

    By the days asked, not the days that came: some are missing at the source.
    """
    whole = set()
    for pull in _rankings(landing, {}):
        start, end = (date.fromisoformat(pull.facts[edge]) for edge in ("start", "end"))
        for month in months_between(start, end):
            month_end = next_month(month) - timedelta(days=1)
            if start <= max(month, first) and end >= min(month_end, last):
                whole.add(month)
    return whole


def _rankings(landing: Landing, unreadable: dict[str, str]) -> list[Pull]:
    return [
        pull
        for source in ("openrouter_rankings", "openrouter_export")
        for pull in landing.pulls(source, unreadable=unreadable)
    ]


def _rankings_by_month(landing: Landing, unreadable: dict[str, str]) -> dict[date, list[Pull]]:
    by_month: dict[date, list[Pull]] = {}
    for pull in _rankings(landing, unreadable):
        for month in months_between(*openrouter.days(pull)):
            by_month.setdefault(month, []).append(pull)
    return by_month
