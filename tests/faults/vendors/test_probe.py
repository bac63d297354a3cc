import json
import pytest
import anthropic_format, gemini_format, bedrock_format
from fake_provider import *
import vendor_server

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "description": "Find it.",
            "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
        },
    }
]
CONV = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where is 17?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "find_order", "arguments": '{"number": 17}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "On its way."},
    {"role": "user", "content": "Thanks"},
]
RT = [
    {
        "type": "function",
        "name": "find_order",
        "description": "Find it.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    }
]


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "bedrock"])
async def test_probe(serve_vendor, request, kind, provider):
    g, server = await serve_vendor(kind)

    def show(tag, a):
        print(
            "\n##",
            kind,
            tag,
            a.status_code,
            dict((k, v) for k, v in a.headers.items() if k.startswith(("x-gate", "retry"))),
        )
        print(a.text)
        if server.asked():
            c = server.asked()[-1]
            print("   UP", c.path)
            print("   UP", json.dumps(c.json))
        server.calls.clear()

    show(
        "conv",
        await g.chat(
            messages=CONV,
            tools=TOOLS,
            tool_choice="auto",
            max_completion_tokens=77,
            temperature=0.3,
            stop=["END"],
            user="u1",
        ),
    )
    F = {"anthropic": anthropic_format, "gemini": gemini_format, "bedrock": bedrock_format}[kind]
    if kind == "gemini":
        server.usual = vendor_server.whole_or_streamed(
            F.answers(
                F.TOOL_CALL,
                usage={
                    "promptTokenCount": 100,
                    "candidatesTokenCount": 20,
                    "totalTokenCount": 135,
                    "thoughtsTokenCount": 15,
                    "cachedContentTokenCount": 60,
                },
            ),
            F.streamed(
                F.chunk("Let me see.", finish=None),
                F.chunk(
                    F.TOOL_CALL,
                    usage={
                        "promptTokenCount": 100,
                        "candidatesTokenCount": 20,
                        "totalTokenCount": 135,
                        "thoughtsTokenCount": 15,
                        "cachedContentTokenCount": 60,
                    },
                ),
            ),
            F._streams,
        )
    elif kind == "bedrock":
        U = {
            "inputTokens": 40,
            "outputTokens": 20,
            "totalTokens": 130,
            "cacheReadInputTokens": 60,
            "cacheWriteInputTokens": 10,
        }
        server.usual = vendor_server.whole_or_streamed(
            F.answers(F.TOOL_USE, stop_reason="tool_use", usage=U),
            F.whole_stream(
                *F.text_block("Let me see."),
                *F.tool_block('{"num', 'ber": 17}', index=1),
                stop_reason="tool_use",
                usage=U,
            ),
            F._streams,
        )
    else:
        U = {"input_tokens": 30, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 60, "output_tokens": 20}
        server.usual = vendor_server.whole_or_streamed(
            F.answers(F.TOOL_USE, stop_reason="tool_use", usage=U),
            F.whole_stream(
                *F.text_block("Let me see."),
                *F.tool_block('{"num', 'ber": 17}', index=1),
                stop_reason="tool_use",
                usage=U,
            ),
            F._streams,
        )
    show("tool", await g.chat(tools=TOOLS, tool_choice="required", parallel_tool_calls=False))
    show("tool", await g.chat(tools=TOOLS, stream=True))
    for st in (False, True):
        show(
            "resp",
            await g.client.post(
                "/v1/responses",
                json={"model": "reply", "input": "Where is 17?", "instructions": "Be nice", "tools": RT, "stream": st},
            ),
        )
    rows = await g.rows(5)
    for r in rows:
        print(
            r.endpoint,
            r.stream,
            r.input_tokens,
            r.cached_input_tokens,
            r.cache_write_tokens,
            r.output_tokens,
            r.reasoning_tokens,
            r.usage_source,
            r.cost_nanousd,
            r.outcome,
            r.failure,
            r.model_answered,
        )
