"""What a version was trained on, as far as that is known: rows that it has seen prove nothing of it. Pure."""

from dataclasses import dataclass
from datetime import datetime

from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.building import TRAIN, TRAIN_PAIRS
from gateway.learning.datasets.manifest import Manifest
from gateway.learning.evaluation.rows import Row
from gateway.policy.inputs import input_id
from gateway.policy.promotion import Version
from gateway.policy.splits import Split, split_of


@dataclass(frozen=True, slots=True)
class Trained:
    """The training rows of one version's data set."""

    ids: frozenset[str] | None
    """Their ids, and those of evaluation rows whose answers they tell; None: the data set is not at hand, and every row
    is taken for one that the split makes one."""
    built_at: datetime | None = None
    """When the data set was built, where only the split is known: what came later is not in it."""

    def has(self, row: Row, redactor: Redactor, given_at: datetime | None = None) -> bool:
        """Tell whether a row, come by at ``given_at``, was trained on."""
        messages, tools = redactor.value([list(row.messages), row.tools])[0]
        if self.ids is not None:
            return row.input_id in self.ids or input_id(messages, tools) in self.ids
        if given_at is not None and self.built_at is not None and given_at > self.built_at:
            return False
        return split_of(messages) is Split.TRAIN


def trained_on(version: Version | None, manifest: Manifest | None, built_at: datetime | None = None) -> Trained | None:
    """Return what a version was trained on; None: nothing is known of that.

    Args:
        version: the version; None: the model is none.
        manifest: of the data set at hand, which may be another one.
        built_at: of the version's own data set.
    """
    if version is None or version.dataset_hash is None:
        return None
    if manifest is not None and version.dataset_hash in (manifest.dataset_hash, *manifest.earlier_hashes):
        return Trained(taught_by(manifest))
    return Trained(None, built_at)


def taught_by(manifest: Manifest) -> frozenset[str]:
    """Return the ids of rows that whoever was trained on a data set has seen."""
    taught = {row.input_id for name in (TRAIN, TRAIN_PAIRS) for row in manifest.rows(name)}
    return frozenset(taught.union(manifest.told))
