"""LangChain against a running portfolio, by its own integration for OpenAI."""

from __future__ import annotations

from typing import Any, Literal

import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr
from tests.data_plane.portfolio.conftest import Running

KEY = SecretStr("none")


class Size(BaseModel):
    """How large a model is."""

    size: Literal["small", "large"]


@tool
def choose(size: Literal["small", "large"]) -> str:
    """Choose a model by its size."""
    return f"the {size} one"


def chat(portfolio: Running, model: str = "folio", **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=model,
        base_url=portfolio.base_url,
        api_key=KEY,
        max_retries=0,
        temperature=0,
        include_response_headers=True,
        **{"max_completion_tokens": 16, **options},
    )


def test_a_chat_is_answered(portfolio: Running) -> None:
    answer = chat(portfolio).invoke("my bicycle is late")
    assert answer.content == "rental"
    assert answer.response_metadata["model_name"] == "sorter"
    assert answer.response_metadata["headers"]["x-folio-attempts"] == "sorter"


def test_a_stream_comes_in_pieces_and_counts_its_tokens(portfolio: Running) -> None:
    model = chat(portfolio, "writer", stream_usage=True)
    whole = model.invoke("Ask the smallest model first")
    chunks = list(model.stream("Ask the smallest model first"))
    assert len([chunk for chunk in chunks if chunk.content]) > 1
    joined = chunks[0]
    for chunk in chunks[1:]:
        assert isinstance(chunk, AIMessageChunk)
        joined += chunk
    assert joined.content == whole.content
    assert joined.usage_metadata is not None
    assert joined.usage_metadata["output_tokens"] == 16


def test_a_bound_tool_is_called_and_its_result_goes_back_to_its_caller(portfolio: Running) -> None:
    question = HumanMessage("Ask the smallest model first")
    caller = chat(portfolio, "legal", max_completion_tokens=512).bind_tools(
        [choose], tool_choice="choose", strict=True
    )
    asked = caller.invoke([question])
    (call,) = asked.tool_calls
    assert call["name"] == "choose"
    result = choose.invoke(call)
    assert isinstance(result, ToolMessage)
    assert result.content in {"the small one", "the large one"}
    told = chat(portfolio).bind_tools([choose]).invoke([question, asked, result])
    assert told.response_metadata["headers"]["x-folio-model"] == "legal"


def test_a_structured_answer_is_an_object_of_its_class(portfolio: Running) -> None:
    structured = chat(portfolio, max_completion_tokens=256).with_structured_output(Size, method="json_schema")
    answer = structured.invoke("my bicycle is late")
    assert isinstance(answer, Size)


def test_embeddings_of_documents_and_of_a_query_are_of_one_space(portfolio: Running) -> None:
    # By default LangChain sends the ids of OpenAI's own tokenizer, which mean nothing to another model.
    embeddings = OpenAIEmbeddings(
        model="vectors",
        openai_api_base=portfolio.base_url,
        openai_api_key=KEY,
        check_embedding_ctx_length=False,
    )
    bicycle, report = embeddings.embed_documents(["a red bicycle", "the annual report"])
    query = embeddings.embed_query("a red bicycle")
    assert query == pytest.approx(bicycle, abs=1e-5)
    assert query != pytest.approx(report, abs=0.01)


def test_an_unknown_model_is_not_found(portfolio: Running) -> None:
    with pytest.raises(openai.NotFoundError, match="model ghost does not exist; there are: folio"):
        chat(portfolio, "ghost").invoke("my bicycle is late")
