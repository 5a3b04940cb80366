"""promptwire.v1.MetricsService: each method is its command, with messages on either side."""

from promptwire.v1 import metrics_service_pb2 as pb
from promptwire_service.commands.context import Registry
from promptwire_service.commands.log_metrics import AGE_MAX_SECONDS, Observation, log_metrics
from promptwire_service.commands.query_metrics import Summary, query_metrics
from promptwire_service.rpc import translate
from promptwire_service.rpc.binding import Context
from promptwire_service.rpc.wire_values import seconds_of, time_ms_of


class MetricsService:
    """Bound by `binding.bind`, which also answers what is raised here."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def log_metrics(self, request: pb.LogMetricsRequest, _: Context) -> pb.LogMetricsResponse:
        refused = await log_metrics(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            observations=[
                Observation(
                    one.name,
                    one.version,
                    one.alias,
                    dict(one.values),
                    dict(one.tags),
                    seconds_of(one, "age", AGE_MAX_SECONDS, f"observations[{index}].age"),
                )
                for index, one in enumerate(request.observations)
            ],
            request_id=request.request_id,
        )
        return pb.LogMetricsResponse(refused={index: translate.problem(error) for index, error in refused.items()})

    async def query_metrics(self, request: pb.QueryMetricsRequest, _: Context) -> pb.QueryMetricsResponse:
        found = await query_metrics(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            metrics=frozenset(request.metrics),
            versions=frozenset(request.versions),
            alias=request.alias if request.HasField("alias") else None,
            since_ms=time_ms_of(request, "since"),
            until_ms=time_ms_of(request, "until"),
            tags=dict(request.tags),
        )
        return pb.QueryMetricsResponse(summaries=map(_summary, found.summaries), folded=found.folded)


def _summary(value: Summary) -> pb.MetricSummary:
    p50, p95, p99 = value.quantiles
    return pb.MetricSummary(
        version=value.version,
        metric=value.metric,
        count=value.count,
        mean=value.mean,
        standard_deviation=value.standard_deviation,
        min=value.least,
        max=value.greatest,
        p50=p50,
        p95=p95,
        p99=p99,
    )
