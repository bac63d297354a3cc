"""What ``gateway promote`` does: writes a patch, begins, changes or ends a promotion."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gateway.cli.promote_desk import Desk
from gateway.cli.promote_text import MAKE, evidence, in_force, instead, named, others, prices, refused
from gateway.cli.promote_text import dates as dates_words
from gateway.clock import time_ordered_id
from gateway.config.findings import printable, quoted
from gateway.config.schema_types import LONGEST_MODEL_ID_BYTES
from gateway.errors import ConfigError
from gateway.execution.promotion_events import promotion_event
from gateway.lifecycle.primary_patch import PrimaryPatch, patch_primary, write_patch
from gateway.lifecycle.primary_text import NewPrimary
from gateway.lifecycle.sighting import Sighting
from gateway.policy.messages import notices_for
from gateway.policy.promotion import Ending, Promotion, PromotionState, Version, VersionStatus, ending_of
from gateway.policy.promotion_rules import Act, Against, Asked, Move, NotPromoted, Step, is_dead, move, refusal
from gateway.policy.promotion_rules import served_before as before_of
from gateway.store.audit import CLI, AuditStore, audit_row
from gateway.store.database import DatabaseUnavailable
from gateway.store.promotions import PromotionStore, Telling
from gateway.store.versions import Registered, VersionStore


@dataclass(frozen=True, slots=True)
class Who:
    """Who commands it, and why."""

    by: str
    reason: str
    unseen: bool = False
    """Whether to take a model that nobody has looked for at its provider."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, and what people should know of it."""

    said: str
    """One sentence."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    version: Version | None = None
    patch: PrimaryPatch | None = None
    written: bool = False
    promotion: Promotion | None = None


async def register(desk: Desk, said: Registered, who: Who) -> Version:
    """Register a model by its id; one that is there already is returned as it is.

    Raises:
        ConfigError: its provider is not of this configuration, or routes.yaml could not name it.
    """
    for what, name in (("model", said.model), ("base", said.base or said.model)):
        if name != printable(name).strip() or len(name.encode("utf-8", "replace")) > LONGEST_MODEL_ID_BYTES:
            raise ConfigError(
                f"{quoted(printable(name))} is no {what}'s id: {LONGEST_MODEL_ID_BYTES} bytes at most, no control "
                "characters, no space around it"
            )
    if said.provider not in desk.routes.providers:
        known = ", ".join(desk.routes.providers)
        raise ConfigError(f"there is no provider {said.provider!r} in routes.yaml; there are {known}")
    is_new = not any((each.provider, each.model) == (said.provider, said.model) for each in desk.versions)
    version = await VersionStore(desk.database).register(desk.route, said, desk.now)
    if is_new:
        await _audit(desk, "version_registered", who, version=(None, version.name), model=(None, version.model))
    return version


async def to_patch(desk: Desk, version: Version, who: Who, *, write: bool, in_spite: bool) -> Done:
    """Make the patch that has routes.yaml name a version; ``write``: and write it."""
    old, against = desk.primary, desk.against(version)
    said = refusal(version, against, in_spite=in_spite)
    if said is not None and (write or _is_final(against, version)):
        raise ConfigError(refused(desk, said))
    patch = patch_primary(
        desk.loaded,
        desk.route.name,
        NewPrimary(version.provider, version.model, version.base),
        environ=desk.environ,
    )
    warnings = [said] if said is not None else []
    # One that has served was good enough once.
    if desk.verdict(version) is None and version.status is not VersionStatus.RETIRED:
        warnings.append(evidence(desk, version))
    if patch.changes_nothing:
        return Done(f"routes.yaml names {named(version)} as the primary of {desk.route.name} already", version=version)
    notes = [*_beside(desk, old, version), *_left_in_routes(desk, patch, old)]
    before = f" in place of {named(old)}" if old is not None else ""
    if write:
        warnings += await _looked(desk, version, who)
    if not write:
        said = f"{patch.label} would name {named(version)}{before}"
        return Done(said, tuple(notes), tuple(warnings), version, patch)
    write_patch(patch)
    changes = {"primary": (old.model if old is not None else None, version.model), "file": (None, patch.label)}
    try:
        await _audit(desk, "primary_written", who, **changes, reason=(None, who.reason))
        await VersionStore(desk.database).follow_routes(patch.routes.routes[desk.route.name], who.by, desk.now)
    except DatabaseUnavailable as error:
        # To say that nothing was done would be wrong, and to do it again would not help.
        warnings.append(f"the file is written, but not who wrote it, for the audit: {error}")
    return Done(
        f"{patch.label} names {named(version)}{before}", tuple(notes), tuple(warnings), version, patch, written=True
    )


async def to_promote(desk: Desk, version: Version, asked: Asked, expires_at: datetime, who: Who) -> Done:
    """Begin or change a canary or an override.

    Raises:
        ConfigError: something speaks against it, or somebody else was faster.
    """
    state = PromotionState.CANARY if asked.act is Act.CANARY else PromotionState.SERVING
    # The sentence about where a route stands comes first: of the primary itself nothing else matters.
    coming = _move(desk, version, asked)
    said = refusal(version, desk.against(version, state), in_spite=asked.in_spite)
    if said is not None:
        raise ConfigError(refused(desk, said))
    unseen = await _looked(desk, version, who)
    promotion = await _put(desk, version, coming, expires_at, who)
    notes = [evidence(desk, version), dates_words(desk, version), *_hinders(desk)]
    old = desk.primary
    if old is not None and (gone := is_dead(old, desk.against(old))) is not None:
        notes.append(f"the rest is not answered by it: {gone}")
    patch = None
    if state is PromotionState.SERVING:
        patch = patch_primary(
            desk.loaded,
            desk.route.name,
            NewPrimary(version.provider, version.model, version.base),
            environ=desk.environ,
        )
        notes = [*notes, *_left_in_routes(desk, patch, old)]
    unproven = desk.verdict(version) is None
    warnings = (*unseen, *((evidence(desk, version),) if unproven else ()))
    done = f"{desk.route.name}: {in_force(promotion)}; replicas follow within seconds"
    return Done(done, tuple(notes[1:] if unproven else notes), warnings, version, patch, promotion=promotion)


async def to_roll_back(desk: Desk, version: Version | None, who: Who, *, write: bool) -> Done:
    """End what is in force; where nothing is, patch routes.yaml back to the version that served before.

    Raises:
        ConfigError: who would answer then cannot; the message says who does instead.
    """
    primary, current = desk.primary, desk.current
    after = version or primary or (desk.versions[-1] if desk.versions else None)
    if after is None:
        raise ConfigError(f"{desk.route.name} has had no version yet: there is nothing to roll back; {MAKE}")
    coming = _move(desk, after, Asked(Act.ROLLBACK))
    if coming.step is Step.PATCH_BACK or current is None:
        before = version or before_of(desk.versions, desk.route)
        if before is None:
            raise ConfigError(
                f"nothing is in force for {desk.route.name}, and no version is known that served before: {others(desk)}"
            )
        if (dead := is_dead(before, desk.against(before))) is not None:
            raise ConfigError(f"{dead}, so there is no way back to it: {instead(desk, before)}")
        return await to_patch(desk, before, who, write=write, in_spite=True)
    if version is not None and version != primary:
        there = primary.name if primary is not None else "nobody"
        raise ConfigError(
            f"a rollback ends v{current.number}, and {there} answers, which routes.yaml names; for {version.name}: "
            f"gateway promote {desk.route.name} {version.name} --now"
        )
    notes = []
    holds = ending_of(current, desk.route, desk.now) is None
    if holds and primary is not None and (dead := is_dead(primary, desk.against(primary))) is not None:
        if current.state is PromotionState.SERVING:
            raise ConfigError(f"{dead}, so there is no way back to it: {instead(desk, primary)}")
        notes.append(f"{dead}: {instead(desk, primary)}")
    warnings = []
    if holds and primary is not None and current.state is PromotionState.SERVING:
        warnings = await _looked(desk, primary, who)
    ended = replace(current, state=PromotionState.ENDED, ended_at=desk.now, ended_because=Ending.ROLLED_BACK)
    told = replace(_telling(desk, ended, who), why=who.reason)
    if not await PromotionStore(desk.database).end(current, Ending.ROLLED_BACK, desk.now, told=told):
        raise ConfigError(_MEANWHILE.format(desk.route.name))
    if primary is not None and not notes and desk.dates_of(primary).shutdown is not None:
        notes.append(dates_words(desk, primary))
    back = named(primary) if primary is not None else "the fallback"
    return Done(
        f"{desk.route.name}: v{current.number} answers no more, {back} does; replicas follow within seconds",
        (*notes, *_hinders(desk)),
        tuple(warnings),
        version=primary,
        promotion=ended,
    )


_MEANWHILE = "somebody changed what is in force for {0} meanwhile: look at gateway promote {0} --status, and try again"


async def _looked(desk: Desk, version: Version, who: Who) -> list[str]:
    """Ask the provider for a version's model before anybody is sent there; return what could not be made sure of.

    Raises:
        ConfigError: the provider does not have it.
    """
    if who.unseen:
        return []
    found = await desk.look(version)
    if found is Sighting.ABSENT:
        raise ConfigError(
            f"{version.name} ({version.model}) was not found at {version.provider} just now, so nobody is sent there: "
            f"{instead(desk, version)}; --unseen takes it all the same"
        )
    if found is Sighting.UNLISTED:
        return [f"{version.provider} does not list {version.model}, which need not mean that it is not there"]
    if found is Sighting.UNKNOWN:
        return [f"{version.provider} could not say whether it has {version.model} just now"]
    return []


def _move(desk: Desk, version: Version, asked: Asked) -> Move:
    try:
        return move(asked, version, desk.route, desk.current, desk.now)
    except NotPromoted as error:
        raise ConfigError(str(error)) from None


async def _put(desk: Desk, version: Version, coming: Move, expires_at: datetime, who: Who) -> Promotion:
    store, current, primary = PromotionStore(desk.database), desk.current, desk.route.primary
    what: dict[str, Any] = {
        "state": coming.state,
        "share": coming.share,
        "expires_at": expires_at,
        "by": who.by,
        "reason": who.reason,
    }
    if coming.step is Step.CHANGE and current is not None:
        moved = (coming.state, coming.share) != (current.state, current.share)
        foreseen = replace(current, **what, changed_at=desk.now if moved else current.changed_at)
        changed = await store.change(current, **what, now=desk.now, told=_telling(desk, foreseen, who))
        if changed is None:
            raise ConfigError(_MEANWHILE.format(desk.route.name))
        return changed
    assert primary is not None, "a move begins over a primary"
    begun = Promotion(
        promotion_id=time_ordered_id(desk.now),
        route=desk.route.name,
        tenant=desk.route.tenant or "",
        number=version.number,
        provider=version.provider,
        model=version.model,
        base=version.base,
        incumbent_provider=primary.provider.name,
        incumbent_model=primary.model,
        incumbent_base=primary.base,
        margin=coming.margin,
        started_at=desk.now,
        changed_at=desk.now,
        **what,
    )
    if not await store.begin(begun, over=current, told=_telling(desk, begun, who)):
        raise ConfigError(_MEANWHILE.format(desk.route.name))
    return begun


def _telling(desk: Desk, promotion: Promotion, who: Who) -> Telling:
    event = promotion_event(promotion, desk.now, by=who.by, owner=desk.route.owner, why=who.reason)
    webhooks = desk.routes.webhooks
    return Telling(
        event,
        lambda events: notices_for(events, webhooks, at=desk.now, new_id=time_ordered_id),
        through=CLI,
        by=who.by,
    )


async def _audit(desk: Desk, action: str, who: Who, **changes: tuple[str | None, str | None]) -> None:
    row = audit_row(desk.now, by=who.by, action=action, subject=desk.route.name, through=CLI, changes=changes)
    await AuditStore(desk.database).add(row)


def _is_final(against: Against, version: Version) -> bool:
    """Tell whether not even a patch makes sense: the configuration could not be loaded, or must not be."""
    return not against.provider_is_known or against.unfit is not None or version.tenant != against.tenant


def _beside(desk: Desk, old: Version | None, new: Version) -> list[str]:
    said = [dates_words(desk, new)]
    if old is not None:
        said.append(dates_words(desk, old))
    if desk.verdict(new) is not None:
        said.insert(0, evidence(desk, new))
    return [*said, *filter(None, [prices(desk, old, new)])]


def _left_in_routes(desk: Desk, patch: PrimaryPatch, old: Version | None) -> list[str]:
    """Say what a person should change beside the primary: nothing else in routes.yaml follows it."""
    said = []
    if desk.route.training is not None and old is not None:
        said.append(f"`training` of {desk.route.name} says what {old.name} took; write there what the new one did")
    left = {finding.message for finding in desk.loaded.warnings}
    said += [f"{finding}" for finding in patch.warnings if finding.message not in left]
    return said


def _hinders(desk: Desk) -> list[str]:
    """Say why replicas may not do what was commanded."""
    said = []
    if desk.elsewhere:
        said.append(
            f"replicas run by another configuration ({', '.join(sorted(desk.elsewhere))}) than this one "
            f"({desk.routes.config_hash}): they follow only if it names the same primary"
        )
    command = desk.known.commands.get(desk.route.name)
    if command is None or not command.in_force(desk.now):
        return said
    return [
        *said,
        f"{desk.route.name} is held at {command.target} by {command.by} ({command.reason}), and nobody is sent here "
        f"before that ends: gateway cutover {desk.route.name} --to auto --reason …",
    ]
