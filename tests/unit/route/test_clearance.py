"""A model that is not cleared for a request's data classes is never asked, by any path."""

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.route.tables import PHI, Says, facts, intent, model, names, routed, skips, table

from folio_api.table import Accept, Classifier, DataClass, HeaderMatch, Intent, Rung
from folio_serving.classify.opinion import Opinion
from folio_serving.route import Consult, Facts, Refused, Route, Router

SECRET = {"x-data-class": "phi"}


def test_a_header_adds_a_class_and_its_region_rule():
    route = routed(facts(headers=SECRET))
    assert route.data_classes == ("phi",)
    assert names(route.ladder) == ["small", "large"]
    assert skips(route) == [("frontier", "NotCleared")]
    assert route.skipped[0].message == "frontier runs in us; phi stays in eu-west"


def test_a_detector_adds_a_class():
    assert routed(facts("MRN: 00482911 has a cough")).data_classes == ("phi",)


def test_every_text_of_the_request_is_read_not_only_the_last_message():
    asked = facts("summarise", texts=("system: chart no. 123456", "summarise"))
    assert routed(asked).data_classes == ("phi",)


def test_no_header_removes_a_class():
    asked = facts("MRN: 00482911", headers={"x-data-class": "public"})
    assert routed(asked).data_classes == ("phi",)


def test_an_uncleared_model_asked_by_name_is_refused():
    refused = routed(facts(asked="vision", headers=SECRET))
    assert (refused.reason, refused.message) == (
        "NotCleared",
        "no model of the ladder may answer: vision is not cleared for phi",
    )
    assert refused.data_classes == ("phi",)


def test_an_uncleared_embedder_is_not_replaced_by_another():
    refused = routed(facts("MRN: 00482911", task="Embedding"))
    assert refused.reason == "NotCleared"


def test_a_model_outside_the_region_is_refused_though_cleared():
    assert routed(facts(asked="frontier", headers=SECRET)).reason == "NotCleared"


def test_an_external_model_of_unknown_region_is_outside_every_region():
    nowhere = model("frontier", engine="external", clearances=("phi",))
    assert routed(facts(asked="frontier", headers=SECRET), models=(nowhere,)).reason == "NotCleared"


def test_uncleared_peers_are_taken_out_of_an_agreement():
    agreeing = Rung(
        model="small", accept=Accept(signal="Agreement", at_least=0.5, models=("large", "vision"))
    )
    route = routed(facts(headers=SECRET), default_ladder=(agreeing, Rung(model="large")))
    assert route.ladder[0].accept.models == ("large",)
    assert routed(facts(), default_ladder=(agreeing,)).ladder[0].accept.models == ("large", "vision")


def test_an_uncleared_classifier_is_not_consulted_and_the_gateways_own_decides():
    says = Says("bank")
    router = Router(table(classifier=Classifier(type="MiniLM", model="minilm")), says)
    assert isinstance(router.route(facts("money")), Consult)
    route = router.route(facts("money", headers=SECRET))
    assert (route.intent, says.asked) == ("bank", ["money"])


def test_an_embedder_inside_the_gateway_sees_what_the_gateway_sees():
    router = Router(table(classifier=Classifier(type="MiniLM", embedder_uri="file:///m")), Says())
    assert router.route(facts("money", headers=SECRET)) == Consult("MiniLM", None, "money", ("phi",))


def test_a_whole_ladder_uncleared_is_refused_by_rule():
    assert routed(facts(inputs=frozenset({"Image"}), headers=SECRET)).reason == "NotCleared"


MODELS = ("a", "b", "c", "d")
CLASSES = ("phi", "pci")
PICKS = st.lists(st.sampled_from(MODELS), min_size=1, max_size=4, unique=True)


@st.composite
def tables(draw):
    def ladder():
        peers = tuple(draw(st.lists(st.sampled_from(MODELS), max_size=2, unique=True)))
        accept = Accept(signal="Agreement", at_least=0.5, models=peers)
        return tuple(Rung(model=name, accept=accept) for name in draw(PICKS))

    return table(
        models=tuple(
            model(
                name,
                engine=draw(st.sampled_from(["vllm", "external"])),
                region=draw(st.sampled_from([None, "eu-west", "us"])),
                clearances=tuple(draw(st.lists(st.sampled_from(CLASSES), unique=True))),
                tasks=("Chat", "Embedding"),
            )
            for name in MODELS
        ),
        default_ladder=ladder(),
        intents=(
            Intent(name="one", ladder=ladder(), on_exhausted="Refuse", keywords=("card",), examples=("x",)),
            intent("two", *draw(PICKS), headers=(HeaderMatch(name="x-task", value="two"),)),
        ),
        data_classes=(PHI, DataClass(name="pci", detectors=("CreditCard",))),
        classifier=Classifier(
            type=draw(st.sampled_from(["MiniLM", "Model"])), model=draw(st.sampled_from(MODELS))
        ),
    )


@st.composite
def requests(draw):
    texts = draw(
        st.lists(
            st.sampled_from(["hello", "my card", "MRN: 00482911", "4111 1111 1111 1111", "a@b.example"]),
            min_size=1,
            max_size=3,
        )
    )
    return Facts(
        task=draw(st.sampled_from(["Chat", "Embedding"])),
        asked=draw(st.sampled_from(["folio", "folio/one", "folio/two", *MODELS])),
        text=texts[-1],
        texts=tuple(texts),
        headers=draw(st.sampled_from([{}, SECRET, {"x-task": "two"}, {"x-task": "two", **SECRET}])),
        prompt_tokens=draw(st.integers(0, 10000)),
        tool_issuer=draw(st.sampled_from([None, *MODELS])),
    )


def may_see(compiled, name, classes):
    one = next(model for model in compiled.models if model.name == name)
    region = one.region or ("eu-west" if one.engine == "vllm" else None)
    return set(classes) <= set(one.clearances) and not ("phi" in classes and region != "eu-west")


@given(tables(), requests(), st.sampled_from([None, "one", "two"]))
def test_whatever_the_facts_an_uncleared_model_is_nowhere_in_the_outcome(compiled, asked, label):
    classes = set()
    if asked.headers.get("x-data-class") == "phi" or any(
        "MRN" in text or "@" in text for text in asked.texts
    ):
        classes.add("phi")
    if any("4111" in text for text in asked.texts):
        classes.add("pci")
    router = Router(compiled, Says(label))
    outcome = router.route(asked)
    if isinstance(outcome, Consult):
        assert may_see(compiled, outcome.model, classes)
        outcome = router.route(asked, Opinion(label, 0.9))
    assert isinstance(outcome, Route | Refused)
    if isinstance(outcome, Route) or outcome.reason == "NotCleared":
        assert set(outcome.data_classes) == classes
    for rung in outcome.ladder if isinstance(outcome, Route) else ():
        assert all(may_see(compiled, name, classes) for name in (rung.model, *rung.accept.models))


def test_a_header_that_is_sent_twice_is_a_list_of_which_each_item_counts():
    route = routed(facts(headers={"x-data-class": "public, phi"}))
    assert route.data_classes == ("phi",)
