"""`promptwire metrics`: log, report; and `champion`."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from promptwire.cli import inputs, plots
from promptwire.cli.failures import REFUSED, UsageError
from promptwire.cli.session import Session, command, group

if TYPE_CHECKING:
    from promptwire.champions import Champion
    from promptwire.values import MetricSummary

Name = Annotated[str, typer.Argument(help="Prompt's name.", metavar="NAME", show_default=False)]
Metric = Annotated[str | None, typer.Option(help="Only this metric.", metavar="METRIC", show_default=False)]
Since = Annotated[
    str | None,
    typer.Option(help="Only since then, e.g. 2026-11-25 or 7d; by the hour.", metavar="TIME", show_default=False),
]

app = typer.Typer()
group(app, "How prompts do: quality, cost, latency, by version.")


def log(
    session: Session,
    ref: Annotated[
        str,
        typer.Argument(help="name@alias, name/3, or name for the newest version.", metavar="REF", show_default=False),
    ],
    values: Annotated[
        list[str], typer.Argument(help="E.g. quality_score=0.93.", metavar="METRIC=NUMBER", show_default=False)
    ],
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.", metavar="KEY=VALUE")] = None,
    run_id: Annotated[str | None, typer.Option(help="The run that it belongs to, as a tag.", metavar="ID")] = None,
    key: Annotated[
        str | None, typer.Option(help="Of a split alias: whose version it was, e.g. a user's id.", show_default=False)
    ] = None,
) -> None:
    """Record what was observed of a version: of the one that REF means now."""
    numbers = inputs.numbers(values)
    with session.client() as client:
        prompt = client.load_prompt(ref, key=key)
        if prompt.split is not None and key is None:
            choice = ", ".join(f"{prompt.name}/{version}" for version in prompt.split.versions[:10])
            raise UsageError(f"{ref} is split: name the version that was used ({choice}), or give --key")
        client.log_prompt_metrics(prompt, numbers, run_id, inputs.tags(tag or ()))
        client.flush_prompt_metrics(session.given.timeout or 10.0)
        if client.status().metrics_dropped:
            session.out.error("the service refused it")
            raise typer.Exit(REFUSED)
    if session.out.json:
        session.out.document(
            {"name": prompt.name, "version": prompt.version, "alias": prompt.alias or None, "metrics": numbers}
        )
        return
    session.out.line(
        f"{prompt.name}/{prompt.version}: {', '.join(f'{key}={value:g}' for key, value in numbers.items())}"
    )


def report(
    session: Session,
    name: Name,
    metric: Metric = None,
    alias: Annotated[
        str | None, typer.Option(help="Only what was loaded by this alias.", metavar="ALIAS", show_default=False)
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only with this tag; may be repeated.", metavar="KEY=VALUE")
    ] = None,
    since: Since = None,
    plot: Annotated[
        str | None, typer.Option(help="Draw --metric by version into this PNG.", metavar="FILE", show_default=False)
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="With --plot: draw it against this metric, e.g. cost.", metavar="METRIC", show_default=False),
    ] = None,
) -> None:
    """Tell each metric by version."""
    if (plot or against) and (metric is None or plot is None):
        raise UsageError("--plot needs --metric, and --against needs --plot")
    with session.client() as client:
        found = client.query_prompt_metrics(
            name,
            metric=None if against else metric,
            alias=alias,
            since=None if since is None else inputs.moment(since, "--since"),
            tags=inputs.tags(tag or ()),
        )
    if plot and metric:
        plots.draw(plot, name, found, metric, against)
    shown = [one for one in found if metric is None or one.metric in (metric, against)]
    if session.out.json:
        session.out.document([_form(one) for one in shown])
        return
    if not shown and session.out.for_people:
        session.out.note("nothing was observed")
        return
    session.out.table(
        ("VERSION", "METRIC", "COUNT", "MEAN", "STD", "MIN", "P50", "P95", "P99", "MAX"),
        (
            (
                one.version,
                one.metric,
                one.count,
                *(f"{value:.6g}" for value in (one.mean, one.std, one.min, one.p50, one.p95, one.p99, one.max)),
            )
            for one in shown
        ),
    )


def champion(
    session: Session,
    name: Name,
    metric: Annotated[
        str, typer.Option(help="What decides, e.g. quality_score.", metavar="METRIC", show_default=False)
    ],
    candidates: Annotated[
        str,
        typer.Option(help="Versions or aliases, e.g. variant_a,variant_b or 1,2.", metavar="LIST", show_default=False),
    ],
    minimize: Annotated[bool, typer.Option("--minimize", help="Less is better, e.g. of cost.")] = False,
    alpha: Annotated[float, typer.Option(help="Most that may be chance.", metavar="P")] = 0.05,
    min_samples: Annotated[int, typer.Option(help="Observations that each needs.", min=0, metavar="N")] = 30,
    min_effect: Annotated[
        float, typer.Option(help="Least difference, in standard deviations (Hedges' g).", min=0, metavar="G")
    ] = 0.0,
    since: Since = None,
    apply: Annotated[bool, typer.Option("--apply", help="Give the winner the alias champion.")] = False,
    also: Annotated[
        list[str] | None, typer.Option(help="With --apply: and this alias; may be repeated.", metavar="ALIAS")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the history.", metavar="TEXT", show_default=False)] = "",
) -> None:
    """Tell which candidate is best, if surely one is; exit code 1 if not."""
    with session.client() as client:
        chosen = client.choose_champion(
            name,
            metric,
            [int(one) if one.isdecimal() else one for one in candidates.split(",")],
            since=None if since is None else inputs.moment(since, "--since"),
            minimize=minimize,
            alpha=alpha,
            min_samples=min_samples,
            min_effect=min_effect,
            apply=apply,
            also=also or (),
            reason=reason,
        )
    if session.out.json:
        session.out.document(_champion_form(chosen, applied=apply and chosen.version is not None))
    else:
        session.out.table(
            ("VERSION", "COUNT", "MEAN", "STD", "DIFFERENCE", "EFFECT", "P"),
            [_row(chosen, one) for one in chosen.candidates],
        )
        session.out.line(f"champion: {chosen.version or 'none'}: {chosen.why}")
        if apply and chosen.version is not None:
            session.out.line(f"{name}: {', '.join(['champion', *(also or ())])} -> {chosen.version}")
    if chosen.version is None:
        raise typer.Exit(REFUSED)


def _row(chosen: "Champion", one: "MetricSummary") -> tuple[int | str, ...]:
    against = next((comparison for comparison in chosen.comparisons if comparison.version == one.version), None)
    told = ("", "", "")
    if against:
        low, high = against.confidence
        told = (
            f"{against.difference:.4g} ({low:.4g} to {high:.4g})",
            f"{against.effect_size:.3g}",
            f"{against.p:.3g}",
        )
    mean, std = (f"{one.mean:.6g}", f"{one.std:.6g}") if one.count else ("", "")
    return one.version, one.count, mean, std, *told


def _form(one: "MetricSummary") -> dict[str, object]:
    """What was not observed is null: JSON has no NaN."""
    names = ("name", "version", "metric", "count", "mean", "std", "min", "max", "p50", "p95", "p99")
    values = {name: getattr(one, name) for name in names}
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


def _champion_form(chosen: "Champion", *, applied: bool) -> dict[str, object]:
    return {
        "name": chosen.name,
        "metric": chosen.metric,
        "version": chosen.version,
        "why": chosen.why,
        "applied": applied,
        "candidates": [_form(one) for one in chosen.candidates],
        "comparisons": [
            {
                "version": one.version,
                "difference": one.difference,
                "confidence": list(one.confidence),
                "effect_size": one.effect_size if math.isfinite(one.effect_size) else None,
                "t": one.t if math.isfinite(one.t) else None,
                "degrees_of_freedom": one.degrees_of_freedom,
                "p": one.p,
            }
            for one in chosen.comparisons
        ],
    }


def add_to(app_: typer.Typer) -> None:
    command(app, "log")(log)
    command(app, "report")(report)
    app_.add_typer(app, name="metrics")
    command(app_, "champion")(champion)
