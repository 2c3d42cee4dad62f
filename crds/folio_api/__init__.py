"""What a portfolio is: the resources, and the routing table that a gateway runs on.

Imports no other part of Folio. Public:

- `folio_api.load.load(paths or Texts) -> Loaded`: resources from files, every error of every document.
- `folio_api.parse.parse(document) -> Parsed`: one object from the cluster, by the same checks.
- `folio_api.{model, policy, portfolio, pools, door, governance, rollout, evaluation, meta, types}`: the
  resources. Python names are the snake_case of the written ones; durations are seconds and end in `_seconds`;
  money and shares are Decimal; lists are tuples; an omitted field has its default, known here only.
- `folio_api.table`: the routing table; `folio_api.spec`: what a model application is built from.
- `python -m folio_api crds | reference`: writes what is generated.
"""
