"""Values of a scrape of /metrics by name and labels."""

from prometheus_client.parser import text_string_to_metric_families

from whisperlive_hybrid.telemetry.metrics import Metrics, MetricsSnapshot

IDLE_STATE = MetricsSnapshot({}, 0.0, 0, 1, 1, 0.0, 0, {}, {})
"""The state of an idle server."""


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self._samples = [sample for family in self.families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of a name with these labels; 0 if there are none."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str) -> list[dict[str, str]]:
        """Return the labels of all samples of a name."""
        return [dict(sample.labels) for sample in self._samples if sample.name == name]


def scrape(metrics: Metrics) -> Scrape:
    """Scrape metrics without a server."""
    return Scrape(metrics.render(IDLE_STATE)[0].decode())
