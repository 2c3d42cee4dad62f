"""A small portfolio to route in."""

from collections.abc import Iterable
from typing import Any

from folio_api.table import Accept, Classifier, DataClass, HeaderMatch, Intent, Model, Rung, Table
from folio_serving.classify.opinion import Opinion
from folio_serving.route import Facts, Route, Router


def model(name: str, **fields: Any) -> Model:
    return Model(**{"name": name, "engine": "vllm", "identity": name, **fields})


def intent(name: str, *models: str, **fields: Any) -> Intent:
    ladder = tuple(Rung(model=one) for one in models)
    return Intent(**{"name": name, "ladder": ladder, "on_exhausted": "ReturnBest", **fields})


PHI = DataClass(
    name="phi",
    detectors=("MedicalRecordNumber", "Email"),
    headers=(HeaderMatch(name="x-data-class", value="phi"),),
    regions=("eu-west",),
)
TRIAGE = model("triage", engine="encoder", tasks=("Classification",), clearances=("phi",))
SMALL = model("small", clearances=("phi",), context_tokens=1000, features=("Tools", "Logprobs"))
LARGE = model("large", clearances=("phi",), context_tokens=8000, features=("Tools", "JSONSchema"))
VISION = model("vision", inputs=("Text", "Image"))
MINILM = model("minilm", engine="encoder", tasks=("Embedding",))
FRONTIER = model("frontier", engine="external", region="us", clearances=("phi",), features=("Tools",))

CODE = intent(
    "code",
    "small",
    "large",
    priority=10,
    headers=(HeaderMatch(name="x-task", value="code"),),
    keywords=("stacktrace", "def "),
    examples=("write a function", "why does this traceback appear"),
)
BANK = intent("bank", "triage", "large", keywords=("card",), examples=("I lost my card", "top up my account"))
PICTURE = intent("picture", "vision", inputs=("Image",), on_exhausted="Refuse")
SEARCH = intent("search", "minilm", "small", headers=(HeaderMatch(name="x-task", value="embed"),))


def table(**fields: Any) -> Table:
    base: dict[str, Any] = {
        "portfolio": "acme",
        "region": "eu-west",
        "models": (TRIAGE, SMALL, LARGE, VISION, MINILM, FRONTIER),
        "intents": (CODE, BANK, PICTURE, SEARCH),
        "default_ladder": (Rung(model="small"), Rung(model="large"), Rung(model="frontier")),
        "data_classes": (PHI,),
    }
    return Table(**{**base, **fields})


class Says:
    """A classifier with one opinion, that keeps what it was asked."""

    def __init__(self, label: str | None = None, confidence: float = 0.9) -> None:
        self.opinion = Opinion(label, confidence, "bank")
        self.asked: list[str] = []

    def classify(self, text: str) -> Opinion:
        self.asked.append(text)
        return self.opinion


def facts(text: str = "hello", **fields: Any) -> Facts:
    return Facts(**{"task": "Chat", "asked": "folio", "text": text, "texts": (text,), **fields})


def routed(asked: Facts, classifier: Says | None = None, **fields: Any) -> Any:
    return Router(table(**fields), classifier).route(asked)


def names(ladder: Iterable[Rung]) -> list[str]:
    return [rung.model for rung in ladder]


def skips(route: Route) -> list[tuple[str, str]]:
    return [(skip.model, skip.reason) for skip in route.skipped]


__all__ = ["Accept", "Classifier"]
