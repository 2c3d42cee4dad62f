from hypothesis import given
from hypothesis import strategies as st

from folio_serving.context import Draft, Passage, context_block, context_tokens, with_context
from folio_serving.cost import estimate_tokens

CHAT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}]
DRAFTS = (Draft("small", "because"),)
PASSAGES = (Passage("the sky", "sky.md", 0.93),)


def test_material_stands_before_the_last_user_message():
    told = with_context(CHAT, DRAFTS, PASSAGES)
    assert told[0] == CHAT[0]
    content = told[1]["content"]
    assert content.endswith("The request:\n\nwhy?")
    assert content.index("the sky") < content.index("because")
    assert "sky.md" in content


def test_nothing_says_how_sure_or_who_the_writers_were():
    block = context_block(DRAFTS, PASSAGES)
    assert "0.93" not in block
    assert "small" not in block
    assert "confiden" not in block


def test_without_material_messages_stay_the_same():
    assert with_context(CHAT, (), ()) == CHAT
    assert context_tokens((), ()) == 0


def test_a_list_of_parts_gets_a_part_in_front():
    parts = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    assert [part["type"] for part in with_context(parts, DRAFTS, ())[0]["content"]] == ["text", "image_url"]


def test_a_conversation_without_a_user_is_left_alone():
    assert with_context(CHAT[:1], DRAFTS, ()) == CHAT[:1]


@given(st.text(alphabet="~a \n"), st.text(alphabet="~a \n"))
def test_no_text_can_close_its_own_fence(text, source):
    plain = context_block((Draft("m", "x"),), (Passage("x", "x"),))
    assert context_block((Draft("m", text),), (Passage(text, source),)).count("~" * 8) == plain.count("~" * 8)


@given(st.text(), st.text())
def test_more_text_never_means_fewer_tokens(one, more):
    assert estimate_tokens(one) <= estimate_tokens(one + more)
