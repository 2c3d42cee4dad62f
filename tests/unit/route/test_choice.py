import pytest
from tests.unit.route.tables import (
    BANK,
    CODE,
    PICTURE,
    VISION,
    Says,
    facts,
    intent,
    names,
    routed,
    skips,
    table,
)

from folio_api.table import Classifier
from folio_serving.classify.opinion import NO_OPINION, Opinion
from folio_serving.route import Consult, Refused, Route, Router


def test_a_header_chooses_an_intent():
    route = routed(facts(headers={"x-task": "code"}))
    assert (route.intent, route.source, route.matched) == ("code", "header", "x-task: code")
    assert names(route.ladder) == ["small", "large"]


@pytest.mark.parametrize("text", ["A StackTrace appeared", "def f(x): pass", "(stacktrace)"])
def test_a_keyword_chooses_in_any_case(text):
    route = routed(facts(text))
    assert (route.intent, route.source) == ("code", "keyword")


@pytest.mark.parametrize("text", ["stacktraces", "undefined", "define it", "discard this"])
def test_a_keyword_is_a_whole_word(text):
    assert routed(facts(text)).source == "default"


def test_an_input_chooses_an_intent_and_its_own_exhaustion():
    route = routed(facts(inputs=frozenset({"Image"})))
    assert (route.intent, route.source, route.on_exhausted) == ("picture", "input", "Refuse")


def test_of_two_matches_the_higher_priority_wins():
    assert routed(facts("my card has a stacktrace")).intent == "code"


def test_of_equal_priorities_the_first_name_wins():
    twins = (intent("b", "small", keywords=("card",)), intent("a", "large", keywords=("card",)))
    assert routed(facts("card"), intents=twins).intent == "a"


def test_rules_come_before_the_classifier():
    says = Says("bank")
    assert routed(facts("a stacktrace"), says).intent == "code"
    assert says.asked == []


def test_the_classifier_chooses_where_no_rule_does():
    route = routed(facts("what about my money"), Says("bank"))
    assert (route.intent, route.source, route.opinion.runner_up) == ("bank", "classifier", "bank")


def test_a_classifier_that_would_rather_not_say_means_the_default_ladder():
    route = routed(facts("what about my money"), Says(None, 0.3))
    assert (route.intent, route.source, route.opinion.confidence) == (None, "default", 0.3)
    assert names(route.ladder) == ["small", "large", "frontier"]


def test_a_guess_never_turns_away_what_the_default_ladder_can_answer():
    only = (intent("bank", "triage", examples=("x",)),)
    route = routed(facts("pay", features=frozenset({"Tools"})), Says("bank"), intents=only)
    assert (route.source, names(route.ladder)) == ("default", ["small", "large", "frontier"])


def test_a_policy_without_examples_asks_no_classifier():
    says = Says("picture")
    assert routed(facts("hello"), says, intents=(PICTURE,)).source == "default"
    assert says.asked == []


def test_an_intent_can_be_asked_by_name():
    route = routed(facts(asked="folio/bank"))
    assert (route.intent, route.source, names(route.ladder)) == ("bank", "direct", ["triage", "large"])


def test_a_specialist_can_be_asked_by_name_and_always_answers():
    route = routed(facts(asked="frontier"))
    assert (route.intent, route.source) == (None, "direct")
    assert [(rung.model, rung.accept.signal) for rung in route.ladder] == [("frontier", "Always")]


@pytest.mark.parametrize("asked", ["gpt-4", "folio/", "folio/none", "code", ""])
def test_an_unknown_name_is_refused_with_those_that_exist(asked):
    refused = routed(facts(asked=asked))
    assert refused.reason == "UnknownModel"
    assert "folio/code" in refused.message
    assert "frontier" in refused.message


def test_a_rung_without_room_is_skipped():
    route = routed(facts(prompt_tokens=900, max_tokens=200))
    assert names(route.ladder) == ["large", "frontier"]
    assert skips(route) == [("small", "TooLong")]


def test_when_the_estimate_leaves_nobody_the_roomiest_judges_by_itself():
    route = routed(facts(asked="folio/code", prompt_tokens=20000))
    assert names(route.ladder) == ["large"]


def test_a_model_asked_by_name_judges_lengths_by_itself():
    assert names(routed(facts(asked="small", prompt_tokens=20000)).ladder) == ["small"]


@pytest.mark.parametrize(
    ("needs", "kept"),
    [
        ({"features": frozenset({"JSONSchema"})}, ["large"]),
        ({"features": frozenset({"Tools"})}, ["small", "large", "frontier"]),
        ({"features": frozenset({"Logprobs"})}, ["small"]),
    ],
)
def test_a_rung_that_does_not_declare_what_is_needed_is_skipped(needs, kept):
    assert names(routed(facts(**needs)).ladder) == kept


def test_nobody_declaring_what_is_needed_is_told_by_name():
    refused = routed(facts(asked="folio/code", inputs=frozenset({"Audio"})))
    assert refused.reason == "Unsupported"
    assert "small does not declare Audio" in refused.message


def test_a_classification_answers_chat_but_no_completion():
    assert names(routed(facts(asked="triage")).ladder) == ["triage"]
    assert routed(facts(asked="triage", task="Completion")).reason == "Unsupported"


def test_an_embedding_goes_to_the_only_model_that_makes_them():
    route = routed(facts("def card", task="Embedding"))
    assert (names(route.ladder), route.intent) == (["minilm"], None)


def test_an_embedding_asked_of_several_names_them():
    two = (*table().models, VISION.model_copy(update={"name": "e5", "tasks": ("Embedding",)}))
    refused = routed(facts(task="Embedding"), models=two)
    assert (refused.reason, refused.message) == (
        "ModelRequired",
        "Embedding needs a model by name; one of: minilm, e5",
    )


def test_the_text_never_chooses_who_embeds():
    says = Says("bank")
    routed(facts("a card and a stacktrace", task="Embedding"), says)
    assert says.asked == []


def test_an_embedding_never_has_a_second_rung():
    assert names(routed(facts(task="Embedding", headers={"x-task": "embed"})).ladder) == ["minilm"]


def test_interchangeable_embedders_may_stand_in():
    twin = VISION.model_copy(update={"name": "e5", "tasks": ("Embedding",)})
    search = intent("search", "minilm", "e5", interchangeable=True)
    route = routed(
        facts(asked="folio/search", task="Embedding"), models=(*table().models, twin), intents=(search,)
    )
    assert names(route.ladder) == ["minilm", "e5"]


@pytest.mark.parametrize("task", ["Rerank", "Transcription"])
def test_tasks_of_later_versions_are_refused(task):
    assert routed(facts(task=task)).reason == "NotSupported"


def test_a_tool_result_goes_back_to_the_rung_that_called():
    route = routed(facts(tool_issuer="large"))
    assert names(route.ladder) == ["large", "frontier"]
    assert skips(route) == [("small", "ToolResult")]


def test_a_tool_result_of_a_model_that_left_the_ladder_starts_at_the_bottom():
    assert names(routed(facts(tool_issuer="gone")).ladder) == ["small", "large", "frontier"]


@pytest.mark.parametrize(
    "classifier", [Classifier(type="MiniLM", model="minilm"), Classifier(type="Model", model="small")]
)
def test_a_classifier_elsewhere_is_consulted_and_its_opinion_taken(classifier):
    router = Router(table(classifier=classifier), Says("code"))
    consult = router.route(facts("money"))
    assert consult == Consult(classifier.type, classifier.model, "money")
    route = router.route(facts("money"), Opinion("bank", 0.8))
    assert (route.intent, route.source) == ("bank", "classifier")
    assert router.route(facts("money"), NO_OPINION).source == "default"


def test_rules_need_no_consultation():
    router = Router(table(classifier=Classifier(type="Model", model="small")))
    assert isinstance(router.route(facts("stacktrace")), Route)


def test_an_explanation_says_what_was_matched_and_what_was_skipped():
    explained = routed(facts("my card", prompt_tokens=9000), intents=(BANK, CODE)).explanation()
    assert explained["source"] == "keyword"
    assert explained["matched"] == "card"
    assert explained["skipped"][0]["reason"] == "TooLong"
    assert isinstance(routed(facts(asked="nobody")), Refused)
