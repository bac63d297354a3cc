"""What is looked at and said before an evaluation asks anything."""

import typer

from gateway.config.routes import Target
from gateway.errors import ConfigError
from gateway.learning.evaluation.collecting import Question
from gateway.learning.evaluation.evaluator import Evaluator
from gateway.learning.evaluation.rows import Row
from gateway.lifecycle.forecast_words import money

Asked = tuple[Target, list[Row], bool]
"""Who is asked which rows, and whether the floor is, too."""


async def check_looks(evaluator: Evaluator, targets: list[Target]) -> None:
    """Raise ``ConfigError`` where the sharper test was asked for, and this is not the first look."""
    if evaluator.terms.looks != "once":
        return
    for target in targets:
        arm = evaluator.subject(target).fallback
        store, route = evaluator.collector.bench.evaluations, evaluator.collector.route.name
        looks = await store.looks_at(route, *arm.prepared.key, arm.prompt_version)
        if looks:
            raise ConfigError(
                f"prompt {arm.prompt_version or 'none'} of {target.name} was looked at before ({looks}×), and the test "
                "for one look errs more often with each further one: leave --looks once out, which looks as often as "
                "you like, or change the prompt"
            )


async def say_cost(
    evaluator: Evaluator, asked: list[Asked], more: list[Question], *, cap_nanousd: int, is_bounded: bool
) -> None:
    """Say what will be asked and what that costs, before anything is.

    Args:
        evaluator: whose it is.
        asked: targets and their rows.
        more: what else will be asked.
        cap_nanousd: what the run may cost.
        is_bounded: whether the number of questions is.

    Raises:
        ConfigError: somebody who will be asked has no price, and nothing else bounds the run.
    """
    seen: set[tuple[str, str, int | None, str]] = set()
    unpriced: dict[str, str] = {}
    nanousd = 0
    questions = list(more)
    for target, rows, with_floor in asked:
        questions += await evaluator.missing(evaluator.subject(target), rows, with_floor=with_floor)
    for arm, row, sample in questions:
        key = (arm.prepared.target.name, arm.prompt_version, sample, row.input_id)
        nanousd += 0 if key in seen else arm.expected(row)
        seen.add(key)
        if arm.price is None:
            unpriced[arm.prepared.model] = arm.prepared.key[0]
    for target in evaluator.judging.targets if evaluator.judging else ():
        if evaluator.collector.arm(target, of=evaluator.judging).price is None:
            unpriced[target.model] = target.provider.name
    if unpriced and not is_bounded:
        names = " and ".join(f"{model} of {provider}" for model, provider in unpriced.items())
        raise ConfigError(
            f"no price is known for {names}, so nothing can be capped: write one under `prices` in routes.yaml, or "
            "bound the run with --limit N"
        )
    if seen:
        judge = ", and a judge on top" if evaluator.judging else ""
        cap = f"never more than {money(cap_nanousd)} (--max-usd)"
        if unpriced:
            cap = f"{' and '.join(unpriced)} not counted, for want of a price: only --limit bounds what that costs"
        typer.echo(f"asks up to {len(seen):,} questions, about {money(nanousd)}{judge}; {cap}", err=True)
