"""Says what the finish marker of a reply means.

One table serves all protocols, because gateways pass on the markers of the protocol behind them, so that any marker
may occur in any protocol. Upper and lower case are the same, and so are `_` and `-` between words. A marker that is
not listed means that the reply is not complete, because a half answer must never be taken for a whole one.
"""

from __future__ import annotations

from typing import Literal

MarkerMeaning = Literal["finished", "length", "content_filter", "context_too_long", "unknown"]

MARKERS: dict[MarkerMeaning, tuple[str, ...]] = {
    "finished": (
        "stop", "tool_calls", "function_call",  # OpenAI's chat completions
        "completed",  # OpenAI's responses
        "end_turn", "tool_use", "stop_sequence",  # Anthropic
        "tool_call", "complete",  # Cohere; Vercel's gateway
        "eos", "eos_token",  # Together; text-generation-inference
        "normal",  # Baidu
    ),
    "length": (
        "length", "max_output_tokens", "max_tokens",  # OpenAI; Anthropic, Gemini, Cohere
        "incomplete",  # OpenAI's responses, where no reason is given
        "model_length",  # Mistral
        "max_completion_tokens", "max_new_tokens", "max_length",  # gateways
    ),
    "content_filter": (
        "content_filter", "content_filtered", "refusal",  # OpenAI, Bedrock; Anthropic
        "safety", "recitation", "blocklist", "prohibited_content", "spii",  # Gemini
        "image_safety", "image_prohibited_content", "image_recitation",  # Gemini, for images
        "sensitive",  # Zhipu, Tencent
        "guardrail_intervened", "error_toxic",  # Bedrock; Cohere
    ),
    "context_too_long": (
        "model_context_window_exceeded",  # Anthropic, Zhipu
        "context_length_exceeded", "context_window_exceeded", "context_limit", "error_limit",  # gateways; Cohere
    ),
}  # fmt: skip
"""Markers by their meaning. These known markers are left out, because they mean that the reply is not complete:
`error`, `abort`, `cancelled`, `failed`, `in_progress`, `network_error`, `insufficient_system_resource`, `pause_turn`,
`OTHER`, `LANGUAGE`, `MALFORMED_FUNCTION_CALL`, `UNEXPECTED_TOOL_CALL`."""

_MEANINGS: dict[str, MarkerMeaning] = {
    marker: meaning for meaning, all_ in MARKERS.items() for marker in all_
}


def judge_marker(marker: str) -> MarkerMeaning:
    """Returns what a marker means. Some gateways add details behind a colon (`content_filter: RECITATION`)."""
    word = marker.partition(":")[0].strip().lower().replace("-", "_").replace(" ", "_")
    return _MEANINGS.get(word, "unknown")
