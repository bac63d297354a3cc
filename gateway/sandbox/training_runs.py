"""Training at work: jobs brought forward to the time whenever somebody looks, and the models that come of them.

A job takes its whole duration, however many rows it has: a tenth of it to validate, a tenth in the queue, the rest to
train. Nothing runs in between: what is due by now is done before anybody is answered.
"""

from dataclasses import replace

from gateway.sandbox.catalogue import Model
from gateway.sandbox.lessons import learn
from gateway.sandbox.pricing import Price
from gateway.sandbox.provider import Provider
from gateway.sandbox.training import identifier
from gateway.sandbox.training_jobs import JobStatus, TrainingJob
from gateway.sandbox.training_rows import InvalidFile, TrainingRows, read_training_rows

_VALIDATED, _BEGUN, _BROKEN = 0.1, 0.2, 0.6
"""Shares of a job's duration: until its files are read, until it trains, and until one fails that is to."""


def advance(provider: Provider) -> None:
    """Bring every job to where it is by now."""
    for job in provider.training.unfinished():
        _advance(provider, job, provider.training.elapsed_s(job))


def _advance(provider: Provider, job: TrainingJob, elapsed_s: float) -> None:
    validated_s, begun_s, broken_s = (job.duration_s * share for share in (_VALIDATED, _BEGUN, _BROKEN))
    if job.status is JobStatus.VALIDATING and elapsed_s >= validated_s:
        _validate(job, validated_s)
    if job.status is JobStatus.QUEUED and elapsed_s >= begun_s:
        job.enter(JobStatus.RUNNING, begun_s, "Fine-tuning job started")
    if job.status is JobStatus.RUNNING and job.fails is not None and elapsed_s >= broken_s:
        job.error = {"code": "internal_error", "message": job.fails, "param": None}
        job.enter(JobStatus.FAILED, broken_s, job.fails, "error")
    if job.status is JobStatus.RUNNING and elapsed_s >= job.duration_s and job.rows is not None:
        model = provider.add(_trained(job, job.rows))
        job.model = model.id
        job.say(job.duration_s, f"New fine-tuned model created: {model.id}")
        job.enter(JobStatus.SUCCEEDED, job.duration_s, "The job has successfully completed")


def _validate(job: TrainingJob, elapsed_s: float) -> None:
    try:
        read = {param: read_training_rows(job.contents[param], job.asked.method, param) for param in job.contents}
    except InvalidFile as error:
        param = "validation_file" if error.code == "invalid_validation_file" else "training_file"
        job.error = {"code": error.code, "message": error.message, "param": param}
        job.enter(JobStatus.FAILED, elapsed_s, error.message, "error")
        return
    job.rows = read["training_file"]
    job.contents = {}
    job.enter(JobStatus.QUEUED, elapsed_s, "Files validated, moving job to queued state")


def _trained(job: TrainingJob, rows: TrainingRows) -> Model:
    """Return the model of a job: its base, but for what it learnt, its name, and what it costs."""
    base = job.asked.base
    lessons, taught = learn(base, rows.taught, job.epochs)
    root = base.base or base.id
    return replace(
        base,
        id=f"ft:{root}:sandbox:{job.asked.suffix or ''}:{identifier('', job.id, 8)}",
        base=root,
        # A fine-tune costs twice as much as the model that it was made from, here as elsewhere in this catalogue.
        price=base.price if base.base else _doubled(base.price),
        created=int(job.created_s + job.duration_s),
        retired_as=None,
        job_id=job.id,
        lessons=lessons,
        taught=taught,
    )


def _doubled(price: Price) -> Price:
    return Price(price.input * 2, price.cached_input * 2, price.output * 2)
