"""The rules of classification in their order: the first that matches decides.

The order carries the safety: what is plainly something else comes before anything about models; what no text decides
is left to the status, which never says "gone".
"""

from gateway.providers.evidence import FRAMEWORK_404
from gateway.providers.rule import Rule, either
from gateway.providers.rules_elsewhere import ELSEWHERE
from gateway.providers.rules_grammar import ABOUT_MODEL
from gateway.providers.rules_models import CERTAIN, MODELS
from gateway.reasons import FailureKind as Kind

_4XX, _5XX = range(400, 500), range(500, 600)
_ABOUT_MODEL = either(ABOUT_MODEL)

# What is left: by status.
_BY_STATUS = (
    Rule("key-refused-401", Kind.AUTHENTICATION, statuses=frozenset({401})),
    Rule("model-refused-403", Kind.MODEL_NO_ACCESS, statuses=frozenset({403}), also=_ABOUT_MODEL),
    Rule("refused-403", Kind.AUTHENTICATION, statuses=frozenset({403, 407})),
    Rule("timeout", Kind.TIMEOUT, statuses=frozenset({408, 504, 522, 524})),
    Rule("framework-404", Kind.SERVER_ERROR, statuses=frozenset({404}), code=either(rf"\b{FRAMEWORK_404}\b")),
    Rule(
        "names-nothing",
        Kind.MODEL_AMBIGUOUS,
        statuses=frozenset({404, 410}),
        text=either(
            r"\A\W*(?:(?:the )?(?:requested |specified )?(?:resource|entity)? ?(?:was |could |"
            r"is )?not (?:be )?found|gone)?\W*\Z"
        ),
    ),
    Rule("about-a-model-404", Kind.MODEL_AMBIGUOUS, statuses=frozenset({404, 410}), also=_ABOUT_MODEL),
    Rule("nothing-here", Kind.SERVER_ERROR, statuses=frozenset({404, 405, 410, 421, 426})),
    Rule("service-unavailable", Kind.OVERLOADED, statuses=frozenset({503, 529})),
    Rule("server-error", Kind.SERVER_ERROR, statuses=_5XX),
    Rule("request-refused", Kind.BAD_REQUEST, statuses=_4XX),
)

RULES = CERTAIN + ELSEWHERE + MODELS + _BY_STATUS
NO_ERROR = Rule("no-error", Kind.SERVER_ERROR)
OTHERWISE = Rule("not-an-answer", Kind.SERVER_ERROR)
