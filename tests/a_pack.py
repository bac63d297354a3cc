"""A small prompt pack for tests: two fixed examples, three to choose from, one row held out."""

from typing import Any

from gateway.config.packs import FIXED, HELD_OUT, INSTRUCTIONS, POOL, PackExample, example_line, sealed


def an_example(number: int, asked: str, answer: str, **more: Any) -> PackExample:
    messages = ({"role": "user", "content": asked}, {"role": "assistant", "content": answer})
    return PackExample(**{"id": f"{number:016x}", "messages": messages, "tokens": 20} | more)


FIXED_EXAMPLES = (an_example(1, "Hello", "Hello!"), an_example(2, "Bye", "Goodbye!", origin="captured"))
POOL_EXAMPLES = (
    an_example(3, "How do I return a lamp?", "Bring it back within 30 days."),
    an_example(4, "Do you ship to Norway?", "We do, in a week.", origin="recorded"),
    an_example(5, "Where is my parcel with the lamp?", "Parcels are tracked in your account."),
)
MANIFEST = {"format": 1, "route": "reply", "similar": 2, "similar_tokens": 60, "prefix_tokens": 50}


def lines(*examples: PackExample) -> bytes:
    return b"".join(map(example_line, examples))


def pack_files(changed: dict[str, bytes] | None = None, **manifest: Any) -> dict[str, bytes]:
    """Return a sealed pack's files; ``changed`` are other contents of them."""
    contents = {
        INSTRUCTIONS: b"Answer briefly.\n",
        FIXED: lines(*FIXED_EXAMPLES),
        POOL: lines(*POOL_EXAMPLES),
        HELD_OUT: b"00000000000000fe\n00000000000000ff\n",
    }
    return sealed(MANIFEST | manifest, contents | (changed or {}))
