"""A stand-in provider that speaks OpenAI's wire format, whose models can be retired on command.

::

    server      the socket: uvicorn, and a protocol that lets faults get at the transport
    app         HTTP: which path is what
    admin       commands: retire, restore, adjust, read the bill
    chat        one chat attempt, from its bytes to its row on the bill
    fine_tuning the jobs that made the fine-tunes, their checkpoints, and their training files
    delivery    how an answer is sent: whole or streamed, paced, and broken where the model is a fault
    provider    the state: models, bill, what the prompt cache has seen
    answers     what is answered: text, a tool call, or JSON that keeps a schema
    skills      what a model can do, and how examples make it better
    training    what the fine-tunes were trained on
    chat_request | schema_instances | tokens | bill | catalogue | retirement | refusals
"""
