"""What all tests share: Hypothesis judges no test by how long it takes, for timings are never asserted."""

from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
