"""The protocol of one leg, small enough to visit every state of it.

A leg, two workers with a lease, the wire, a provider that keeps keys for a while and lists a refund
only after a while. Whatever may go wrong is a move. What the engine does about it stands in `due`,
`answered`, `listed` and `heard`, said anew and not imported from `core`; each of its precautions
can be taken out (`Guards`). `test_refinement` holds `core.decide` to the same four functions.

Left out: amounts, other legs of the payment, refunds that are pending or fail later, people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# Durations are ticks. What the engine promises itself follows from what it is told of the world.
WIRE = 1  # bytes that left do their work within this long, or never
LIST = 1  # a refund shows in the provider's lists after this long
LATE = 1  # between the commit of an intent and its first byte; the lease is checked for that
LEASE = 2
LOOKUP_DELAY = WIRE + LIST
RETENTION = 4  # how long the provider keeps a key
MARGIN = LATE + WIRE  # no resend so close to the end of the retention
INDETERMINATE = RETENTION
ENOUGH = 1  # stored errors after which the same bytes tell nothing new
EPOCHS = 2  # keys of one leg, at most; with AFOOT the bounds of the search
AFOOT = 2  # requests on the wire at once, at most


class Guards(NamedTuple):
    """The precautions; all of them are taken unless one is taken out to see what it is for."""

    stable_key: bool = True  # the same bytes again have the same key
    intent_first: bool = True  # committed before the first byte leaves
    retention: bool = True  # no resend once the key may be forgotten
    margin: bool = True  # ... and none so late that it may be by the time the bytes arrive
    lookup_delay: bool = True  # "not found" counts only that long after the last byte
    doubt: bool = True  # "declined" after an unknown outcome is no answer
    unknown: bool = True  # a timeout is no failure
    lease: bool = True  # nobody else's row is taken before its lease is over
    lease_at_send: bool = True  # and no first byte leaves late in it
    look_first: bool = True  # a new key only after a look-up that found nothing
    overtaken: bool = True  # a look-up that was asked before the last byte settles nothing


ALL = Guards()


class Leg(NamedTuple):
    """As its row holds it. `first` and `last` are ticks since a byte may have left (-1: none)."""

    state: str = "sending"
    epoch: int = 1
    out: bool = False
    doubt: bool = False
    declined: bool = False
    resend: bool = False
    stored: int = 0
    first: int = -1
    last: int = -1


class Worker(NamedTuple):
    """What a process remembers, and loses in a crash. `doing`: idle, holds (intent committed, no
    byte yet), waits, told (an answer not yet recorded), listed (a look-up not yet recorded)."""

    doing: str = "idle"
    epoch: int = 0
    age: int = 0  # of its lease, while it holds
    current: bool = False  # its attempt is still the leg's last
    said: str = ""  # the answer it was told
    proves: int = 0  # what a "not found" would settle: 1 a doubted "declined", 2 the attempt


class Key(NamedTuple):
    """What the provider keeps of a request."""

    age: int
    answer: str


class World(NamedTuple):
    leg: Leg = Leg()
    lease: int = -1  # its age; -1: free
    workers: tuple[Worker, ...] = (Worker(), Worker())
    wire: tuple[tuple[int, int, int], ...] = ()  # sender or -1, epoch, age
    keys: tuple[Key | None, ...] = (None,) * EPOCHS
    moved: tuple[tuple[int, int], ...] = ()  # epoch and age of every movement of money


Moves = Iterator[tuple[str, World]]
IDLE = Worker()
NAMES = "AB"


def rests(leg: Leg) -> bool:
    return leg.state in ("succeeded", "failed")


def beyond(world: World) -> bool:
    """The next key is one more than the search follows."""
    return world.leg.epoch > EPOCHS


def wrong(world: World) -> str:
    """What must never be, as a sentence; "" if all is well."""
    count = len(world.moved)
    if count > 1:
        return "money moved twice"
    if world.leg.state == "failed" and count:
        return "the leg failed and the money is gone"
    if world.leg.state == "succeeded" and not count:
        return "the leg succeeded and no money moved"
    return ""


# -- what the engine decides -------------------------------------------------------------------


def due(leg: Leg, lost: bool, guards: Guards) -> tuple[Leg, str]:
    """The row is ours: the leg after that commit, and whether to send, to look or neither."""
    if leg.out:
        return (_unclear(leg._replace(out=False)), "") if lost else (leg, "")
    if leg.state == "unknown":
        if not guards.look_first and leg.first >= INDETERMINATE:
            return Leg(epoch=leg.epoch + 1), ""
        if not leg.resend or _gone(leg, guards):
            return leg, "look"
    return leg._replace(out=True, first=max(leg.first, 0), last=0), "send"


def answered(leg: Leg, said: str, guards: Guards) -> Leg:
    """The answer to its last attempt is recorded."""
    leg = leg._replace(out=False)
    if rests(leg):
        return leg
    if said == "refunded":
        return _at_rest(leg, "succeeded")
    if said == "declined":
        if leg.doubt and guards.doubt:
            return leg._replace(state="unknown", declined=True, resend=False)
        return _at_rest(leg, "failed")
    if said == "not sent":
        return _again(leg if leg.doubt else leg._replace(first=-1), guards)
    if not guards.unknown:
        return _at_rest(leg, "failed")
    return _unclear(leg._replace(stored=min(ENOUGH, leg.stored + (said == "error"))))


def listed(leg: Leg, said: str, proves: int, guards: Guards) -> Leg:
    """The answer to a look-up is recorded."""
    if rests(leg):
        return leg
    if said == "found":
        return _at_rest(leg, "succeeded")
    if leg.state != "unknown":
        return leg
    if said == "failed":
        return leg._replace(resend=False)
    if proves and leg.declined and not leg.out:
        return _at_rest(leg, "failed")
    if proves == 2 and not leg.out:
        return Leg(epoch=leg.epoch + 1)
    return _again(leg, guards)


def heard(leg: Leg, epoch: int) -> Leg:
    """A webhook says that the money moved."""
    ours = epoch == leg.epoch or (not leg.out and not leg.doubt)
    return _at_rest(leg, "succeeded") if ours and not rests(leg) else leg


def _at_rest(leg: Leg, state: str) -> Leg:
    return Leg(state, leg.epoch, leg.out)


def _unclear(leg: Leg) -> Leg:
    """Bytes may have left until now."""
    if rests(leg):
        return leg
    return leg._replace(state="unknown", doubt=True, resend=False, last=0)


def _again(leg: Leg, guards: Guards) -> Leg:
    tells_nothing = leg.state == "unknown" and (leg.stored >= ENOUGH or _gone(leg, guards))
    return leg._replace(resend=not tells_nothing)


def _gone(leg: Leg, guards: Guards) -> bool:
    """Whether the provider may have forgotten the key when bytes arrive."""
    return guards.retention and leg.first >= RETENTION - (MARGIN if guards.margin else 0)


def proves(leg: Leg, guards: Guards) -> int:
    """What a look-up asked now would settle by finding nothing."""
    if guards.lookup_delay and leg.last < LOOKUP_DELAY:
        return 0
    return 2 if leg.first >= INDETERMINATE else 1


# -- what happens ------------------------------------------------------------------------------


def moves(world: World, guards: Guards = ALL) -> Moves:
    """Everything that may happen next; nothing, where the search ends."""
    if beyond(world):
        return
    for who in range(len(world.workers)):
        yield from _worker(world, who, guards)
    for place in range(len(world.wire)):
        yield from _arrives(world, place, guards)
    for epoch in {epoch for epoch, _ in world.moved}:
        told = _with_leg(world, heard(world.leg, epoch))
        if told != world:
            yield "a webhook tells of the refund", told
    if all(age < WIRE for _, _, age in world.wire):
        yield "time passes", _later(world)


def _worker(world: World, who: int, guards: Guards) -> Moves:
    worker, name = world.workers[who], NAMES[who]
    if worker.doing == "idle":
        if not rests(world.leg) and (world.lease in (-1, LEASE) or not guards.lease):
            yield from _takes(world, who, guards)
        return
    yield f"{name} crashes", _without(world, who)
    if worker.doing == "holds" and (worker.age <= LATE or not guards.lease_at_send):
        if len(world.wire) < AFOOT:
            sent = (who, worker.epoch, 0)
            waits = _put(world, who, worker._replace(doing="waits", age=0))
            yield f"{name} sends", waits._replace(wire=tuple(sorted((*world.wire, sent))))
        yield f"{name} gets no connection", _tell(world, who, "not sent")
    elif worker.doing == "waits":
        yield f"{name} gives up waiting", _tell(_orphaned(world, who), who, "silence")
    elif worker.doing == "told":
        yield f"{name} records: {worker.said}", _record_answer(world, who, guards)
    elif worker.doing == "listed":
        yield f"{name} records: {worker.said}", _record_look(world, who, guards)


def _takes(world: World, who: int, guards: Guards) -> Moves:
    leg, act = due(world.leg, world.lease != -1, guards)
    was = " over" if world.lease != -1 else ""
    if not act:
        taken = _with_leg(world, leg)._replace(lease=-1)
        if leg.epoch != world.leg.epoch:
            taken = _overtake(taken, guards)
        if taken != world:
            yield f"{NAMES[who]} takes the row{was}: unknown", taken
        return
    if act == "look":
        shown = any(age >= LIST for _, age in world.moved)
        for said in ("found" if shown else "not found", "failed"):
            known = Worker("listed", said=said, proves=proves(leg, guards))
            looked = _put(world, who, known)._replace(lease=0)
            yield f"{NAMES[who]} takes the row{was} to look: {said}", looked
        return
    leg = leg._replace(declined=False)  # a "no" speaks for the attempts before it
    holds = Worker("holds", epoch=leg.epoch, current=True)
    if guards.intent_first:
        world = _with_leg(world, leg)
        world = _overtake(world, guards)
    yield f"{NAMES[who]} takes the row{was} to send", _put(world, who, holds)._replace(lease=0)


def _overtake(world: World, guards: Guards) -> World:
    """An attempt begins: what others are told of the one before is no longer of the last."""
    world = _unproven(world, guards)
    return world._replace(workers=tuple(w._replace(current=False) for w in world.workers))


def _unproven(world: World, guards: Guards) -> World:
    """Bytes may have left until now: look-ups asked before settle nothing."""
    if not guards.overtaken:
        return world
    return world._replace(workers=tuple(w._replace(proves=0) for w in world.workers))


def _record_answer(world: World, who: int, guards: Guards) -> World:
    worker = world.workers[who]
    world = _put(world, who, IDLE)
    if worker.said == "refunded" and not worker.current:
        return _with_leg(world, heard(world.leg, worker.epoch))
    if not worker.current:
        return world
    before = world.leg
    if not guards.intent_first:
        before = before._replace(first=max(before.first, 0), last=0)
    world = _with_leg(world, answered(before, worker.said, guards))._replace(lease=-1)
    return _unproven(world, guards) if worker.said in ("silence", "error") else world


def _record_look(world: World, who: int, guards: Guards) -> World:
    worker = world.workers[who]
    before = world.leg
    leg = listed(before, worker.said, worker.proves, guards)
    world = _with_leg(_put(world, who, IDLE), leg)
    if leg.epoch != before.epoch:
        world = _overtake(world, guards)
    return world if before.out else world._replace(lease=-1)


def _arrives(world: World, place: int, guards: Guards) -> Moves:
    sender, epoch, _ = world.wire[place]
    rest = world._replace(wire=world.wire[:place] + world.wire[place + 1 :])
    yield "the request is lost", rest
    kept = world.keys[epoch - 1] if guards.stable_key else None
    for said, moved, keeps in _works(world, kept):
        after = rest
        if moved:
            after = after._replace(moved=tuple(sorted((*rest.moved, (epoch, 0)))))
        if keeps and guards.stable_key:
            keys = list(rest.keys)
            keys[epoch - 1] = Key(0, said)
            after = after._replace(keys=tuple(keys))
        what = f"the provider {'refunds' if moved else 'does nothing'} and says {said}"
        if sender >= 0:
            yield what, _tell(after, sender, said)
        yield f"{what}; nobody hears it", after


def _works(world: World, kept: Key | None) -> Iterator[tuple[str, bool, bool]]:
    """What it says, whether money moves, whether it keeps the answer under the key."""
    if world.moved:
        yield "declined", False, False  # already refunded, says whoever looks at the balance first
    if kept is not None:
        yield kept.answer, False, False
        return
    yield "refunded", True, True
    yield "error", True, True
    yield "error", False, True
    yield "declined", False, True
    yield "declined", False, False
    yield "not sent", False, False  # too many requests


def _later(world: World) -> World:
    leg, keys = world.leg, world.keys
    if not rests(leg):
        first = min(leg.first + 1, INDETERMINATE) if leg.first >= 0 else -1
        last = min(leg.last + 1, LOOKUP_DELAY) if leg.last >= 0 else -1
        leg = leg._replace(first=first, last=last)
    older = (key and key._replace(age=key.age + 1) for key in keys)
    return World(
        leg,
        min(world.lease + 1, LEASE) if world.lease >= 0 else -1,
        tuple(
            w._replace(age=min(w.age + 1, LATE + 1)) if w.doing == "holds" else w
            for w in world.workers
        ),
        tuple((sender, epoch, age + 1) for sender, epoch, age in world.wire),
        tuple(key if key and key.age < RETENTION else None for key in older),
        tuple((epoch, min(age + 1, LIST)) for epoch, age in world.moved),
    )


# -- the parts of a world ----------------------------------------------------------------------


def _with_leg(world: World, leg: Leg) -> World:
    return world._replace(leg=leg, lease=-1 if rests(leg) else world.lease)


def _put(world: World, who: int, worker: Worker) -> World:
    workers = list(world.workers)
    workers[who] = worker
    return world._replace(workers=tuple(workers))


def _tell(world: World, who: int, said: str) -> World:
    return _put(world, who, world.workers[who]._replace(doing="told", age=0, said=said))


def _orphaned(world: World, who: int) -> World:
    """Nobody listens any more; the bytes are still under way."""
    wire = sorted((-1 if sender == who else sender, *more) for sender, *more in world.wire)
    return world._replace(wire=tuple(wire))  # type: ignore[arg-type]


def _without(world: World, who: int) -> World:
    return _put(_orphaned(world, who), who, IDLE)


def same(world: World) -> World:
    """The world without what can make no difference any more: states that are the same in this
    sense are visited once."""
    if rests(world.leg):
        busy = [w.doing in ("holds", "waits") for w in world.workers]
        workers = tuple(w if b else IDLE for w, b in zip(world.workers, busy, strict=True))
        moved = tuple((epoch, LIST) for epoch, _ in world.moved)
        world = world._replace(workers=workers, moved=moved, leg=world.leg._replace(out=False))
    afoot = {epoch for _, epoch, _ in world.wire}
    afoot |= {w.epoch for w in world.workers if w.doing == "holds"}
    afoot |= set() if rests(world.leg) else {world.leg.epoch}
    keys = tuple(key if n in afoot else None for n, key in enumerate(world.keys, 1))
    first, second = world.workers
    if second < first:
        turned = sorted((1 - s if s >= 0 else s, *more) for s, *more in world.wire)
        world = world._replace(workers=(second, first), wire=tuple(turned))
    return world._replace(keys=keys)
