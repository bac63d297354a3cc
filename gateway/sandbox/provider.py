"""The sandbox's state: which models it sells and which it has retired, its bill, and what its caches have seen."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from itertools import count
from uuid import uuid4

from gateway.clock import Clock
from gateway.sandbox.batches import Batches
from gateway.sandbox.bill import Bill
from gateway.sandbox.capabilities import Capabilities
from gateway.sandbox.catalogue import Model
from gateway.sandbox.chat_request import MESSAGE_OVERHEAD_TOKENS, ChatRequest
from gateway.sandbox.files import StoredFiles
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import ProviderError, context_too_long, overloaded, server_error
from gateway.sandbox.repetitions import Repetitions
from gateway.sandbox.retirement import retirement_error
from gateway.sandbox.stored_responses import StoredResponses
from gateway.sandbox.tokens import PromptCache, PromptCounter
from gateway.sandbox.training_jobs import Training


class Provider:
    """The state behind every endpoint. Models are frozen, and replaced whole."""

    def __init__(self, clock: Clock, catalogue: Iterable[Model], seed: str) -> None:
        self.clock = clock
        self.seed = seed
        self.models = {model.id: model for model in catalogue}
        self.bill = Bill()
        self.capabilities = Capabilities.read()
        self.responses = StoredResponses(clock)
        self.files = StoredFiles(clock)
        self.batches = Batches(clock)
        self.training = Training(clock)
        self.repetitions = Repetitions()
        self.counter = PromptCounter()
        self._caches = {model_id: PromptCache() for model_id in self.models}
        self._server_errors = count()

    def today(self) -> date:
        """Return the day, in UTC."""
        return self.clock.now().date()

    def living(self) -> list[Model]:
        """Return the models that are not retired."""
        today = self.today()
        return [model for model in self.models.values() if model.retired_on(today) is None]

    def find(self, model_id: str, *, streamed: bool, openai_style: str = "openai") -> Model:
        """Return a living model; ``openai_style`` is what OpenAI answers at the endpoint, where it is OpenAI's turn.

        Raises:
            ProviderError: there is none of this name, or it is retired: then with its provider's own error.

        """
        model, today = self.models.get(model_id), self.today()
        style, ended = "openai", today
        if model is not None:
            retired_as = model.retired_on(today)
            if retired_as is None:
                return model
            style, ended = retired_as, min(today, model.shutdown_date or today)
        chosen = openai_style if style == "openai" else style
        raise retirement_error(chosen, model_id, ended, f"req_{uuid4().hex}", streamed=streamed)

    def retire(self, model_id: str, style: str = "openai") -> Model:
        """Make a model answer with the error that the provider named by ``style`` gives."""
        return self._replaced(replace(self.models[model_id], retired_as=style))

    def restore(self, model_id: str) -> Model:
        """Bring a model back; a shutdown date that has passed is dropped, for it would retire it again."""
        model = replace(self.models[model_id], retired_as=None)
        if model.retired_on(self.today()) is not None:
            model = replace(model, shutdown_date=None)
        return self._replaced(model)

    def add(self, model: Model) -> Model:
        """Sell a new model, or another one under an old name: whose prompts nobody has sent yet."""
        self._caches[model.id] = PromptCache()
        return self._replaced(model)

    def adjust(self, model: Model) -> Model:
        """Put a changed model in the place of the one with its id."""
        return self._replaced(model)

    def measure(self, model: Model, request: ChatRequest) -> Usage:
        """Return the usage of a prompt: its tokens, and how many of them the model's cache has seen.

        Raises:
            ProviderError: the prompt, or the answer that it asks for, does not fit.

        """
        parts, tokens = request.counted(self.counter)
        if tokens > model.context_window:
            raise context_too_long(model.context_window, tokens)
        cached = self._caches[model.id].cached_tokens(request.preamble(), parts, MESSAGE_OVERHEAD_TOKENS)
        return Usage(tokens, min(cached, tokens), 0)

    def next_server_error(self) -> ProviderError:
        """Return a 500 and a 503 by turns."""
        return server_error() if next(self._server_errors) % 2 == 0 else overloaded()

    def _replaced(self, model: Model) -> Model:
        self.models[model.id] = model
        return model
