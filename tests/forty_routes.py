"""Forty fine-tunes of three owners, as an operator would keep them; what is wrong with some of them is meant."""

import json
from pathlib import Path

_NAMES = """
    forum-reply ticket-triage tone-rewrite faq-answer chat-greeting refund-reason complaint-summary escalation-note
    spam-verdict language-guess call-summary survey-coding churn-reason agent-hints
    invoice-extract receipt-extract contract-dates tax-category dunning-letter payment-match iban-repair vat-check
    cost-centre-code expense-audit order-parse credit-memo ledger-note
    product-title product-bullets alt-text seo-summary ad-headline review-digest size-advice colour-names
    brand-voice newsletter-intro social-caption press-lines banner-copy
"""
TASKS = tuple(_NAMES.split())
BASES = ("gpt-4o-mini-2024-07-18", "gpt-4.1-mini-2025-04-14", "gpt-4.1-2025-04-14")
HEAD = """\
version: 1
providers:
  openai: {kind: openai, api_key_env: OPENAI_API_KEY}
  campus: {kind: vllm, base_url: "http://vllm.internal:8000/v1"}
fallbacks:
  luna:
    provider: openai
    model: gpt-6-luna
    prompt: {instructions: "Answer as the {route} team would: short, friendly, in the customer's language."}
    parameters: {rename: {max_tokens: max_completion_tokens}, set: {reasoning_effort: none}, drop: [logit_bias]}
  plain: {provider: openai, model: gpt-6-luna}
  base: {provider: openai, model: gpt-4o-mini-2024-07-18, prompt: {instructions: "Be brief."}}
defaults: {provider: openai, fallbacks: [luna]}
routes:
"""
ODD = {
    "escalation-note": "fallbacks: []",
    "credit-memo": "fallbacks: [base]",
    "brand-voice": "fallbacks: [plain]",
    "size-advice": "fallbacks: [base, luna]",
    "invoice-extract": "cutover: {days_before: 14, ramp_days: 7}",
    "receipt-extract": "cutover: {days_before: 14, ramp_days: 7}",
    "seo-summary": "cutover: {at: gone}",
}
SELF_HOSTED = ("agent-hints", "iban-repair", "alt-text", "banner-copy", "ledger-note", "press-lines")


def written(owners: tuple[str, str, str] = ("support", "billing", "marketing")) -> str:
    """Return the file: 34 fine-tunes that OpenAI ends on 2027-01-14, and six that live at home."""
    lines = []
    for number, task in enumerate(TASKS):
        owner = owners[0] if number < 14 else owners[1] if number < 27 else owners[2]
        extra = f", {ODD[task]}" if task in ODD else ""
        if task in SELF_HOSTED:
            primary = f"{{provider: campus, model: {task}-lora, base: llama-3.1-8b}}"
        else:
            primary = f'"ft:{BASES[number % 3]}:acme:{task}:A{number:02d}b2C3d4"'
        lines.append(f"  {task}: {{primary: {primary}, owner: {json.dumps(owner)}{extra}}}\n")
    return HEAD + "".join(lines)


def write(directory: Path) -> Path:
    """Write the file, and return where it is."""
    path = directory / "routes.yaml"
    path.write_text(written())
    return path
