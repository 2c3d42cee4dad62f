import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_api.table import Intent, Model, Rung, Table
from folio_serving.classify.fewshot import learn_vectors
from folio_serving.classify.intent import (
    Examples,
    examples_of,
    intent_classifier,
    learn_intents,
    opinion_of_answer,
    vector_classifier,
)
from folio_serving.classify.ngram import Grams, Head, HeadError, Meta, features, load_head, save_head
from folio_serving.classify.opinion import NO_OPINION, Opinion
from folio_serving.classify.train import Recipe, best_temperature, train_head

SMALL = Grams(buckets=2**12)
CARD = [
    f"{verb} my {kind} card"
    for verb in ("block", "replace", "I lost", "freeze")
    for kind in ("bank", "debit", "credit")
]
RATE = [
    f"what is the {when} exchange rate {where}"
    for when in ("current", "best")
    for where in ("today", "abroad", "now")
]
TEXTS, LABELS = CARD + RATE, ["card"] * len(CARD) + ["rate"] * len(RATE)


@given(st.text())
def test_any_text_has_features_within_the_buckets(text):
    found = features(text, SMALL)
    assert len(found.buckets) == len(found.values)
    assert ((found.buckets >= 0) & (found.buckets < SMALL.buckets)).all()
    assert np.isfinite(found.values).all()


def test_case_and_blanks_do_not_count():
    one, other = features("Lost  my\nCARD", SMALL), features("lost my card", SMALL)
    assert (one.buckets == other.buckets).all()


def test_hashing_is_the_same_in_every_process_and_release():
    """Weights are learned in one process and used in others: this sum may only change with the file format."""
    assert int(features("I lost my card, naïve 😀", Grams()).buckets.sum()) == 1446032


def test_a_long_text_is_read_at_both_ends_only():
    middle = features("a" * 1500 + "x" * 5000 + "b" * 500, SMALL)
    assert (middle.buckets == features("a" * 1500 + "y" * 9000 + "b" * 500, SMALL).buckets).all()


@pytest.fixture(scope="module")
def head():
    return train_head(TEXTS * 5, LABELS * 5, Recipe(grams=SMALL))


def test_a_trained_head_labels_new_texts(head):
    assert head.classify("someone stole my card").label == "card"
    assert head.classify("exchange rate for euros").label == "rate"


def test_confidence_is_a_probability_and_the_runner_up_another_label(head):
    opinion = head.classify("my card abroad")
    assert 0.5 <= opinion.confidence <= 1
    assert {opinion.label, opinion.runner_up} == {"card", "rate"}


def test_training_twice_gives_the_same_file(head):
    assert train_head(TEXTS * 5, LABELS * 5, Recipe(grams=SMALL)).to_bytes() == head.to_bytes()


def test_one_label_cannot_be_learned():
    with pytest.raises(ValueError, match="at least two different labels"):
        train_head(["a", "b"], ["x", "x"])


def test_a_saved_head_says_the_same(head, tmp_path):
    digest = save_head(head, tmp_path / "deep" / "head.npz")
    loaded = load_head(tmp_path / "deep" / "head.npz", digest)
    assert loaded.classify("block the card")[0] == "card"
    assert loaded.meta == head.meta


def test_another_digest_is_refused(head, tmp_path):
    save_head(head, tmp_path / "head.npz")
    with pytest.raises(HeadError, match="its sha256 is"):
        load_head(tmp_path / "head.npz", "0" * 64)


def test_a_file_that_is_no_head_is_refused_by_name(tmp_path):
    (tmp_path / "head.npz").write_bytes(b"PK no")
    with pytest.raises(HeadError, match=r"head.npz: not a head's .npz"):
        load_head(tmp_path / "head.npz")
    with pytest.raises(HeadError, match="cannot be read"):
        load_head(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("a", "b", "c")}, "do not fit 3 labels"),
        ({"bias": np.zeros(3, np.float32)}, "bias"),
        ({"weights": np.full((256, 2), np.nan, np.float32)}, "not finite"),
        ({"weights": np.zeros((100, 2), np.float32)}, "meta says 256 buckets"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    whole = {
        "weights": np.zeros((256, 2), np.float32),
        "bias": np.zeros(2, np.float32),
        "labels": ("a", "b"),
        "meta": Meta(kind="ngram", grams=Grams(buckets=256)),
    }
    with pytest.raises(HeadError, match=message):
        Head.from_bytes(Head(**{**whole, **change}).to_bytes())


def test_the_best_temperature_softens_what_is_too_sure():
    logits = np.array([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0]], dtype=np.float32)
    assert best_temperature(logits, np.array([0, 0, 1])) > 5


FEW = Examples(tuple(TEXTS), tuple(LABELS))


def test_a_few_examples_make_a_classifier_that_knows_its_limits():
    few = learn_intents(FEW)
    assert few.classify("please replace my lost credit card").label == "card"
    assert few.classify("the exchange rate now").label == "rate"
    assert few.classify("write a poem about autumn leaves").label is None
    assert few.classify("").label is None


def test_confidence_falls_with_the_distance_from_the_examples():
    few = learn_intents(FEW)
    near, far = few.classify("block my bank card"), few.classify("bank holidays in Bavaria")
    assert near.confidence > far.confidence


def test_the_same_examples_make_the_same_classifier_in_any_order():
    def shuffled(order):
        intents = [
            Intent(name=name, ladder=(Rung(model="m"),), on_exhausted="Refuse", examples=tuple(texts))
            for name, texts in (("card", CARD[::order]), ("rate", RATE[::order]))
        ]
        model = Model(name="m", engine="vllm", identity="m")
        return Table(
            portfolio="p", models=(model,), intents=tuple(intents[::order]), default_ladder=(Rung(model="m"),)
        )

    one, other = intent_classifier(shuffled(1)), intent_classifier(shuffled(-1))
    assert one.to_bytes() == other.to_bytes()
    assert examples_of(shuffled(1)) == examples_of(shuffled(-1))


def test_no_examples_no_classifier():
    table = Table(
        portfolio="p",
        models=(Model(name="m", engine="vllm", identity="m"),),
        default_ladder=(Rung(model="m"),),
    )
    assert intent_classifier(table) is None
    assert vector_classifier(table, []) is None


def test_a_single_intent_is_told_from_everything_else():
    one = learn_intents(Examples(tuple(CARD), ("card",) * len(CARD)))
    assert one.classify("freeze my debit card").label == "card"
    assert one.classify("how tall is Mount Everest").label is None
    assert one.classify("freeze my debit card").runner_up is None


def test_a_single_example_is_enough_for_its_own_words():
    one = learn_intents(Examples(("I lost my card", "what is the rate"), ("card", "rate")))
    assert one.classify("I lost my card").label == "card"


def test_many_examples_are_learned_by_descent_and_still_reject():
    texts = tuple(f"{text} {number}" for number in range(60) for text in TEXTS)
    many = learn_intents(Examples(texts, tuple(LABELS) * 60))
    assert many.meta.reject_below > 0
    assert many.classify("block my card 7").label == "card"


def test_vectors_are_classified_and_foreign_ones_rejected():
    chance = np.random.default_rng(1)
    centres = np.eye(8, dtype=np.float32)
    vectors = np.concatenate([centres[i] + 0.1 * chance.standard_normal((6, 8)) for i in (0, 1, 2)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    learned = learn_vectors(vectors.tolist(), [label for label in "abc" for _ in range(6)])
    assert [learned.classify_vector(centres[i]).label for i in (0, 1, 2, 6)] == ["a", "b", "c", None]


def test_vectors_must_match_the_examples():
    intent = Intent(name="a", ladder=(Rung(model="m"),), on_exhausted="Refuse", examples=("x", "y"))
    model = Model(name="m", engine="vllm", identity="m")
    table = Table(portfolio="p", models=(model,), intents=(intent,), default_ladder=(Rung(model="m"),))
    with pytest.raises(ValueError, match="1 vectors for 2 examples"):
        vector_classifier(table, [[1.0]])


@pytest.mark.parametrize(
    ("content", "score", "opinion"),
    [
        ("code", 0.7, Opinion("code", 0.7)),
        (' "Code". ', None, Opinion("code", 1.0)),
        ("I think it is code", 0.9, NO_OPINION),
        ("", None, NO_OPINION),
    ],
)
def test_a_models_answer_counts_when_it_names_an_intent(content, score, opinion):
    assert opinion_of_answer(content, score, {"code": 1}) == opinion
