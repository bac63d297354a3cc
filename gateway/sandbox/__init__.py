"""A stand-in provider that speaks OpenAI's wire format, whose models can be retired on command.

::

    server        the socket: uvicorn, and a protocol that lets faults get at the transport
    app           HTTP: which path is what
    admin         commands: retire, restore, adjust, read the bill
    endpoint      one attempt at any endpoint, from its bytes to its row on the bill
    chat | responses | embeddings | completions | moderations | images | speech | transcriptions
                  what one endpoint answers, and how that looks whole and streamed
    capabilities  what a model refuses, by the gateway's own table
    answers       what is answered: text, calls of tools, or JSON that keeps a schema
    skills        what a model can do, and how examples make it better
    delivery      how an answer is sent: whole or streamed, paced, and broken where the model is a fault
    provider      the state: models, bill, kept responses, what the prompt cache has seen
    fine_tuning   the jobs that made the fine-tunes, their checkpoints, and their training files (training)
    training_requests | training_jobs | training_runs | training_rows | lessons
                  jobs that train here: asked for, kept, moved on; what their files hold, and what a model learns of it
    adapters      vLLM's commands for LoRA adapters
    files | batches | batch_runs
                  what is uploaded for a batch and written by one; a batch, and its progress
    forms | pictures | sounds
                  multipart bodies, PNG, WAV
    chat_request | messages | tools | arguments | schema_instances | tokens | logprobs | connection
    responses_request | response_items | response_stream | stored_responses
    paging | repetitions | catalogue | pricing | bill | retirement | refusals
"""
