"""A report in sentences: the same in a terminal, on a page and in the stored object. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

VERDICTS: Final = {"accept": "accepted", "reject": "rejected", "not_enough_evidence": "not enough evidence"}
METHOD: Final = (
    "Paired non-inferiority: each row is answered by both, and the fallback is accepted where the mean difference to "
    "the primary is shown to be above −margin, rejected where it is shown to be below, each with an error of at most "
    "5 %.",
    "Many looks: a confidence sequence by betting (Waudby-Smith & Ramdas, J. R. Stat. Soc. B 86, 2024), valid however "
    "often one looks. One look: Gaffke's bound (2005; Learned-Miller & Thomas, 2020), valid at any number of rows.",
    "Retained quality is (fallback − floor)/(ceiling − floor), with a percentile bootstrap over rows. The floor is the "
    "fallback's model without its prompt; the ceiling is the primary against the held-out answer, or against its own "
    "second sample. Its interval is never narrower than the difference's bounds. chrF: Popović (2015).",
)
LIMITS: Final = (
    "The verdict is about one measure on rows like these. A measure of likeness knows nothing of truth, tone or harm; "
    "rows that are not like tomorrow's requests say little of them; and an answer that differs from the reference may "
    "be the better one. Read the worst rows."
)
BESIDE: Final = (
    "Corrections are told beside the verdict, and are no part of it: they are there since somebody's answer was wrong, "
    "and on such rows whoever is new looks better than on others."
)
_NANO_PER_MICRO: Final = 1_000_000
_MANIFOLD: Final = 2.0
_OUT_OF_REACH: Final = 50_000
"""Rows that nobody has."""


def headline(report: Mapping[str, Any]) -> str:
    """Return the verdict in one sentence."""
    rows = report["rows"]
    if report["doubt"]:
        return f"not enough evidence: {report['doubt']}"
    if not rows["decided"]:
        absence = f" (the primary {report['primary_absence']})" if report["primary_absence"] else ""
        who = challenger(report)
        return f"not enough evidence: no row has both an answer of {who} and a ceiling to measure it by{absence}"
    facts = [_quality(report)]
    if report["costs"]:
        facts.append(f"{change(report['costs']['change']['estimate'])} cost")
    if report["first_token"]:
        later = report["first_token"]["fallback_ms"] - report["first_token"]["primary_ms"]
        facts.append(f"first token {signed(later)} ms")
    verdict = f"{VERDICTS[report['verdict']]} on {counted(rows['decided'], 'row')}"
    if report["verdict"] == "not_enough_evidence":
        verdict += f" ({_would_decide(rows['needed'])})"
    return f"{verdict}: {', '.join(facts)}"


def notes(report: Mapping[str, Any]) -> list[str]:
    """Return what a reader has to know beside the verdict."""
    return [*_version(report), *_rows(report), *_prices(report), *_judge(report), *_sweep(report)]


def corrected(report: Mapping[str, Any]) -> list[str]:
    """Return what is answered of the corrections, a sentence a target; nothing where there are none."""
    told = report["corrections"]
    return [_corrected(one, told) for one in told["targets"]] if told else []


def challenger(report: Mapping[str, Any]) -> str:
    """Return what the one who is evaluated is called in a sentence: "the fallback", or "v2"."""
    return str(report["target"]) if report["version"] else "the fallback"


def incumbent(report: Mapping[str, Any]) -> str:
    """Return what the one in whose place it is to stand is called."""
    return "the incumbent" if report["version"] else "the fine-tune"


def counted(number: int, noun: str) -> str:
    """Return "1 row", "1,412 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span(interval: Mapping[str, float]) -> str:
    """Return an estimate with its interval: "0.93 [0.88, 0.97]"."""
    return f"{decimal(interval['estimate'])} [{decimal(interval['low'])}, {decimal(interval['high'])}]"


def decimal(value: float) -> str:
    """Return two decimals, with a real minus; no minus before a zero."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def change_span(interval: Mapping[str, float]) -> str:
    """Return a relative change with its interval: "−38 % [−41 %, −35 %]"."""
    return f"{change(interval['estimate'])} [{change(interval['low'])}, {change(interval['high'])}]"


def change(relative: float) -> str:
    """Return a relative change: "−38 %"; from the threefold on "3.4×", which is easier to grasp than "+240 %"."""
    return f"{1 + relative:,.1f}×" if relative >= _MANIFOLD else f"{signed(100 * relative)} %"


def signed(value: float) -> str:
    """Return a rounded number with its sign: "+120", "−3", "±0"."""
    rounded = round(value)
    return "±0" if rounded == 0 else f"{rounded:+,}".replace("-", "−")


def per_1000(nanousd: float | None) -> str:
    """Return what a thousand requests cost, from one request's mean: "$1.20"; None: "unpriced"."""
    return "unpriced" if nanousd is None else f"${nanousd / _NANO_PER_MICRO:,.2f}"


def cost_of(tried: Mapping[str, Any]) -> str:
    """Return what a size costs, as ``per_1000``; or that it was not asked, or not to the end."""
    if not tried["is_asked"]:
        return "asked in part" if tried["rows"] else "not asked"
    return per_1000(tried["cost_nanousd"])


def _would_decide(needed: int | None) -> str:
    if needed is None or needed > _OUT_OF_REACH:
        return "the difference is so near the margin that hardly any number of rows would decide"
    return f"about {needed:,} would decide"


def _quality(report: Mapping[str, Any]) -> str:
    if report["retained"]:
        return f"keeps {span(report['retained'])} of {incumbent(report)}'s quality"
    fallback, ceiling = (decimal(report["arms"][arm]["estimate"]) for arm in ("fallback", "ceiling"))
    return f"{report['measure']} {fallback}, {incumbent(report)}'s {ceiling}"


def _corrected(one: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    never, trained = one["never_seen"], one["trained_on"]
    corrections = f"{never['as_corrected']:,} of {counted(never['answered'], 'correction')}"
    unseen = "" if trained is None else " that it was not trained on"
    parts = [f"{corrections}{unseen} as corrected{_mean(never, told)}"]
    if trained is not None and trained["rows"]:
        of = f"{trained['as_corrected']:,} of {trained['answered']:,}"
        parts.append(f"{of} that it was trained on{_mean(trained, told)}")
        if not never["rows"]:
            of = f"{trained['as_corrected']:,} of {counted(trained['answered'], 'correction')}"
            parts = [f"{of} that it was trained on as corrected{_mean(trained, told)}; there is no other"]
    said = f"{one['target']} answers {', and '.join(parts)}"
    unanswered = sum(some["rows"] - some["answered"] for some in (never, trained) if some is not None)
    if unanswered:
        said += f"; {unanswered:,} not answered yet"
    if one["in_prompt"]:
        said += f"; {one['in_prompt']:,} left out: its prompt shows the same input"
    return f"{said}."


def _mean(counts: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    if counts["mean"] is None:
        return ""
    least = f", from {told['as_corrected_from']:g} on as corrected" if told["as_corrected_from"] < 1 else ""
    return f" (mean {told['measure']} {decimal(counts['mean'])}{least})"


def _version(report: Mapping[str, Any]) -> Iterator[str]:
    version, who = report["version"], report["target"]
    if version is None:
        return
    if version["trained_on"]:
        yield f"{counted(version['trained_on'], 'row')} left out: {who} was trained on them."
    if not version["is_training_known"]:
        yield f"What {who} was trained on is not known: rows may be among it, and it may look better than it is."
    if version["marked_left_out"]:
        yield (
            f"{counted(version['marked_left_out'], 'row')} left out that somebody marked as right or corrected: they "
            "are there for how an answer turned out."
        )
    if version["marked"]:
        yield (
            f"{counted(version['marked'], 'row')} in the verdict that somebody marked as right or corrected, since "
            "there are hardly any others. Unless all answers were marked that were looked at, they favour one of the "
            "two: corrections whoever is new, approved answers whoever gave them."
        )


def _rows(report: Mapping[str, Any]) -> Iterator[str]:
    rows = report["rows"]
    if rows["in_prompt"]:
        yield f"{counted(rows['in_prompt'], 'row')} left out: the prompt shows the same input as an example."
    if rows["repeated"]:
        yield f"{counted(rows['repeated'], 'row')} left out: another row asks the same."
    if rows["corrected"]:
        recorded = counted(rows["corrected"], "recorded row")
        yield f"{recorded} left out: what they would be measured against was corrected."
    if rows["tuned_on"] and rows["is_tuning_left_out"]:
        yield f"{counted(rows['tuned_on'], 'row')} left out: a sweep chose the size by them."
    elif rows["tuned_on"]:
        yield (
            f"A sweep chose the size by {counted(rows['tuned_on'], 'row')} that the verdict rests on, too, since there "
            "are hardly any others: it may look better than it is."
        )
    if rows["of_other_tenants"]:
        yield f"{counted(rows['of_other_tenants'], 'recorded answer')} left out: another tenant's."
    if rows["unanswered"]:
        who = challenger(report)
        yield f"{counted(rows['unanswered'], 'row')} not answered by {who} yet: run the same command again."
    if rows["without_ceiling"]:
        own = report["own_quality"]
        who = challenger(report)
        said = f"; on all its rows {who} has {span(own)}" if own else ""
        yield (
            f"{counted(rows['without_ceiling'], 'row')} without an answer of the primary to measure by: they count for "
            f"{who}'s own quality only{said}."
        )
    if report["primary_absence"]:
        yield (
            f"The primary {report['primary_absence']}; {counted(rows['without_ceiling'], 'row')} left without it. When "
            "it is back, run this again."
        )
    flips = report["judge"]["flips"] if report["judge"] and report["measure"] == "judge" else 0
    if flips:
        pairs = report["judge"]["pairs"]
        yield f"{flips:,} of {counted(pairs, 'row')} left out: the judge contradicted itself, or said nothing readable."
    if rows["unmeasured"] > flips:
        unmeasured = counted(rows["unmeasured"] - flips, "row")
        yield f"{unmeasured} not compared: {report['measure']} does not apply to them, or was not asked."
    if rows["decided"] and not report["retained"] and not report["version"]:
        yield (
            "No share of retained quality: on these rows the fine-tune is not shown to be better than the base model "
            "without a prompt, or the floor was not asked, or there are fewer than ten."
        )


def _prices(report: Mapping[str, Any]) -> Iterator[str]:
    costs = report["costs"]
    if not report["is_priced"]:
        who = challenger(report)
        yield f"{who[0].upper()}{who[1:]} has no price: nothing is said of cost, and the cost cap did not count it."
    elif costs is None:
        yield "Nothing is said of cost: no answer of the primary with a known cost is recorded."
    elif costs["computed"]:
        yield (
            f"The primary's cost is computed on {counted(costs['computed'], 'request')}: tokens times today's price, "
            "where no bill of its own is known."
        )
    if report["prefix_tokens"] and not report["caches"]:
        yield (
            f"The prompt's fixed part has {report['prefix_tokens']:,} tokens, and providers cache from 1,024 on: "
            "caching cannot help, cold and warm cost are the same."
        )
    if report["first_token"] is None:
        yield "Nothing is said of the first token: no streamed answer of the primary is recorded."


def _judge(report: Mapping[str, Any]) -> Iterator[str]:
    judge = report["judge"]
    if judge is None:
        return
    yield (
        f"The judge {judge['judge']} prefers {challenger(report)} on {judge['wins']:,} of "
        f"{counted(judge['pairs'], 'pair')}, the primary on {judge['losses']:,}, neither on {judge['ties']:,}; it "
        f"flipped with the order on {judge['flip_rate']:.0%}, which counts for nothing."
    )
    if judge["judges_itself"]:
        yield f"The judge is {challenger(report)}'s own model: models prefer answers of their own kind."


def _sweep(report: Mapping[str, Any]) -> Iterator[str]:
    if unasked := sum(not one["is_asked"] for one in report["curve"]):
        yield f"The learning curve is not finished: {unasked} of {counted(len(report['curve']), 'point')} unasked."
    sweep = report["sweep"]
    if sweep is None:
        return
    if sweep["proposed"] is None:
        yield "No size is proposed, since one that was not asked may be the better one: run the same command again."
        return
    size = f"{sweep['proposed']['fixed']} fixed and {sweep['proposed']['similar']} similar examples"
    chosen = "the cheapest within the margin" if sweep["is_within_margin"] else "the best; none was within the margin"
    yield (
        f"Proposed: {size}, {chosen}, of {len(sweep['tried'])} sizes on {counted(sweep['tuning_rows'], 'tuning row')}. "
        "The verdict is the other half's alone: the best of many looks better than it is on the rows that chose it."
    )
    yield (
        f"To serve it: gateway pack build {report['route']} --from FILE --fixed {sweep['proposed']['fixed']} --similar "
        f"{sweep['proposed']['similar']}, then evaluate that pack: it is another prompt, with a verdict of its own."
    )
