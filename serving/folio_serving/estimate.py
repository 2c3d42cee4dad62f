"""What an Ask will probably take, before it is asked. Pure."""

from __future__ import annotations

from folio_serving.context import context_tokens
from folio_serving.conversation import Ask, Question
from folio_serving.cost import ASSUMED_OUTPUT_TOKENS, expected_usd


def usd_of(question: Question, ask: Ask) -> float:
    """Return the price of an answer of full length, in every choice."""
    prompt = _prompt_tokens(question, ask)
    seconds = question.expected_seconds.get(ask.model, 0.0)
    price = question.models[ask.model].price
    output = question.max_tokens
    each = expected_usd(price, prompt, output, seconds)
    if question.choices == 1:
        return each
    return each + (question.choices - 1) * expected_usd(price, 0, output, 0.0)


def tokens_of(question: Question, ask: Ask) -> int:
    """Return the tokens of an answer of full length, in every choice, and of what is asked."""
    output = question.max_tokens if question.max_tokens is not None else ASSUMED_OUTPUT_TOKENS
    prompt = _prompt_tokens(question, ask)
    return prompt + question.choices * output


def _prompt_tokens(question: Question, ask: Ask) -> int:
    context = context_tokens(ask.drafts, ask.passages)
    return question.prompt_tokens + question.further_prompt_tokens + context
