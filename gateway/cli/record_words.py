"""What ``gateway record`` says of costs, of why it stopped, and of how to go on."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gateway.config.findings import printable
from gateway.learning.recordings.recorder import Stop
from gateway.lifecycle.forecast_words import counted, money

if TYPE_CHECKING:
    from gateway.cli.record_run import Done
    from gateway.config.routes import Route, Target
    from gateway.learning.recordings.batches import Waiting
    from gateway.learning.recordings.plan import Lengths, RecordingPlan
    from gateway.policy.pricing import Usage


def beforehand(
    plan: "RecordingPlan",
    route: "Route",
    primary: "Target",
    usage: "Usage",
    cost_nanousd: int | None,
    cap_nanousd: int | None,
    lengths: "Lengths",
) -> Iterator[str]:
    """Yield what a person must know before money is spent."""
    twice = f", {plan.second_samples:,} of them twice" if plan.second_samples else ""
    pending = f", {counted(plan.pending, 'answer')} promised by batches" if plan.pending else ""
    yield f"{route.name}: {counted(plan.inputs, 'input')} to ask{twice}; {plan.recorded:,} recorded already{pending}"
    basis = "" if lengths.known else f", a guess of {lengths.usual} tokens an answer"
    tokens = f"about {usage.input_tokens:,} tokens in and {usage.output_tokens:,} out{basis}"
    if cost_nanousd is None or cap_nanousd is None:
        yield f"{tokens}; {primary.model} has no price, so nothing is capped but the number of inputs (--limit)"
        return
    yield f"{tokens}: about {money(cost_nanousd)}; never more than {money(cap_nanousd)} (--max-usd)"
    if cost_nanousd > cap_nanousd:
        reached = cap_nanousd * len(plan.questions) // cost_nanousd
        yield f"that is beyond the cap: it will come about as far as {reached:,} of {len(plan.questions):,} answers"


def ending(done: "Done") -> str | None:
    """Say why a run ended early, and how to go on; None: it did not."""
    again = "the same command goes on where this one ended"
    cap = money(done.cap_nanousd or 0)
    model = done.primary.model
    match done.run.stopped:
        case None:
            return None
        case Stop.CAP if done.sent:
            return (
                f"the cap of {cap} is set aside for {counted(done.sent, 'answer')}, each at the most it can cost; "
                f"{again}, with a cap of its own"
            )
        case Stop.CAP:
            spent = money(done.spent_nanousd) if done.spent_nanousd else "nothing"
            return (
                f"stopped at the cap: {spent} of {cap} is spent, and the next answer might pass it; {again}, with a "
                "cap of its own, or name a larger --max-usd"
            )
        case Stop.GONE:
            return f"{model} is gone, or not ours to use: nothing more can be recorded. {still_possible(done)}"
        case Stop.REFUSED:
            return f"the provider refuses the key, or its quota is used up; {again}"
        case Stop.UNREACHABLE:
            return f"{done.primary.provider.base_url} cannot be reached; {again}"
        case Stop.SUBSTITUTED:
            return f"another model answers in place of {model}: its answers are not kept. {still_possible(done)}"
        case Stop.FAILING:
            return f"stopped after too many failures in a row; {again}"
        case Stop.INTERRUPTED:
            return f"stopped; what was answered is kept, and {again}"


def still_possible(done: "Done") -> str:
    """Say what can still be done without the primary."""
    route = done.route
    training = route.training.file if route.training and route.training.file else "training.jsonl"
    kept = done.plan.recorded + done.run.kept
    recorded = f" {counted(kept, 'recorded answer')} stay: gateway record {route.name} --export FILE." if kept else ""
    build = f"gateway pack build {route.name} --from {training}"
    return f"A prompt pack can still be built from training rows: {build}.{recorded}"


def outcome(done: "Done") -> Iterator[str]:
    """Yield what came of a run, a line each."""
    name = done.route.name
    if done.fetched:
        yield f"{name}: {counted(done.fetched, 'answer')} came from batches"
    if done.sent:
        yield f"{name}: {counted(done.sent, 'question')} went out as a batch"
    for batch in done.waiting:
        yield f"{waiting_line(batch)}; give the same command again to fetch what is there"
    if not done.plan.questions and not done.waiting:
        yield f"{name}: everything is recorded ({counted(done.plan.recorded, 'input')}); nothing was asked"
    elif done.run.kept or not (done.sent or done.waiting):
        left = len(done.plan.questions) - done.run.kept
        yield (
            f"{name}: {counted(done.run.kept, 'answer')} recorded for {money(done.spent_nanousd)}"
            f"{f', {left:,} still missing' if left else ''}"
        )
    for kind, trouble in done.run.troubles.items():
        yield f"failed, {kind}: {counted(trouble.count, 'time')}; the first: {printable(trouble.first)[:300]}"
    if (said := ending(done)) is not None:
        yield said


def still_waiting(batches: Sequence["Waiting"]) -> str:
    """Say what is waited for."""
    return "; ".join(waiting_line(batch) for batch in batches)


def waiting_line(batch: "Waiting") -> str:
    """Say where a batch is."""
    until = f", at the latest by {batch.expires_at:%Y-%m-%d %H:%M} UTC" if batch.expires_at else ""
    return (
        f"batch {printable(batch.batch_id)} is {printable(batch.status)}: {batch.done:,} of {batch.rows:,} done{until}"
    )


def nothing_captured(route: "Route") -> str:
    """Say that nothing was captured, and what that takes."""
    if route.capture is None:
        return f"{route.name} captures nothing: set `capture` in routes.yaml, or name a file with --inputs"
    return f"nothing of {route.name} has been captured yet, or what was has expired; name a file with --inputs"
