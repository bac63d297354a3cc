"""A stand-in provider that speaks OpenAI's wire format, whose models can be retired on command."""
