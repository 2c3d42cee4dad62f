"""What holds in every tier: hypothesis judges answers, not how fast a busy machine gives them."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "folio", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("folio")
