"""What a project declares, as people and programs read it: the whole list, so that what is missing from it can be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from noria.core.clock import in_words
from noria.evaluation.task import Task
from noria.features.computed import fields_of
from noria.features.feature_set import FeatureSet
from noria.features.view import FeatureView
from noria.loop.project import Project
from noria.loop.retrain import Retrain, Stale, Trigger
from noria.models.model import Model
from noria.monitoring.monitor import Monitor
from noria.release.ab_test import ABTest, ReleasePlan
from noria.release.answer_shadow import answer_plan
from noria.release.endpoint import Endpoint
from noria.release.rollout import Immediate, Rollout

if TYPE_CHECKING:
    import pyarrow as pa


def declared(project: Project, schemas: Mapping[str, pa.Schema] | None = None) -> dict[str, Any]:
    """Everything that a project declares but its tables, by kind, as plain data. schemas: of the tables, by name, which say of which type
    features are"""
    return {
        "views": [_view(v) for v in project.views],
        "feature_sets": [_feature_set(s, schemas) for s in project.feature_sets],
        "models": [_model(project, m) for m in project.models],
        "endpoints": [_endpoint(project, e) for e in project.endpoints],
        "monitors": [_monitor(m) for m in project.monitors],
        "retrainings": [_retraining(project, r) for r in project.retrains],
    }


def lines(found: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """The same for people: the kind, the name, and what is to be said of it; the first a sentence, the others what it lacks."""
    told = [("view", v["name"], [f"{_count(v['features'], 'feature')} of {v['table']}{_by(v['entity'])}"]) for v in found["views"]]
    for s in found["feature_sets"]:
        from_ = ", ".join([*s["views"], *s["request"]]) or "nothing"
        others = ", ".join(f"{name}: {type_}" for name, type_ in s["types"].items() if type_ != "float32")
        not_numbers = f"; not all float32: {others}" if others else ""
        told.append(("feature set", s["name"], [f"{_count(s['features'], 'feature')} of {from_}, for {s['spine']}{not_numbers}"]))
    for m in found["models"]:
        label = m["label"]
        equal = "" if label["positive"] is None else f" = {label['positive']!r}"
        gates = "; ".join(m["gates"]) or "no gates"
        summary = [f"{m['title']} of {label['table']}.{label['column']}{equal} by {m['trainer']}; {gates}"]
        summary += ["code in its bundles is trusted"] if m["trust"] else []
        told.append(("model", m["name"], summary + ([] if m["endpoints"] else ["no endpoint serves it"])))
    for e in found["endpoints"]:
        lacking = [
            summary
            for summary, there in (("no monitor watches it", e["monitored"]), ("nothing retrains its model", e["retrained"]))
            if not there
        ]
        told.append(
            ("endpoint", e["name"], [f"model {e['model']}, {_count(e['features'], 'feature')}; {e['rollout']['summary']}", *lacking])
        )
    for m in found["monitors"]:
        told.append(("monitor", m["endpoint"], [m["summary"]]))
    for r in found["retrainings"]:
        told.append(
            (
                "retraining",
                r["model"],
                [r["summary"], *([] if r["endpoints"] else ["no endpoint serves its model, so it never runs"])],
            )
        )
    return told


def _by(entity: Sequence[str]) -> str:
    return f" by {', '.join(entity)}" if entity else ", of all its rows together"


def _view(view: FeatureView) -> dict[str, Any]:
    return {"name": view.name, "table": view.table.name, "entity": list(view.entities), "features": len(view.features)}


def _feature_set(features: FeatureSet, schemas: Mapping[str, pa.Schema] | None) -> dict[str, Any]:
    return {
        "name": features.name,
        "spine": features.spine.name,
        "features": len(features.features),
        "types": {field.name: field.written_type for field in (() if schemas is None else fields_of(features, schemas))},
        "views": [v.name for v in features.views],
        "request": [r.name for r in features.request],
    }


def _model(project: Project, model: Model) -> dict[str, Any]:
    label = model.label
    return {
        "name": model.name,
        "feature_set": model.features.name,
        "task": model.task.definition(),
        "title": model.task.title,
        "label": {
            "table": label.table.name,
            "column": label.target,
            "positive": model.task.coding.positive(label),
            "matures": label.matures,
        },
        "trainer": getattr(model.trainer, "name", "trainer"),
        "gates": [gate.name for gate in model.gates],
        "holdout": model.holdout,
        "trust": model.trust,
        "endpoints": _serving(project, model),
    }


def _endpoint(project: Project, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name,
        "model": endpoint.model.name,
        "features": len(endpoint.model.features.features),
        "gates": len(endpoint.model.gates),
        "rollout": _rollout(endpoint.release, endpoint),
        "monitored": project.monitor(endpoint) is not None,
        "retrained": project.retrain(endpoint) is not None,
    }


def _rollout(plan: ReleasePlan, endpoint: Endpoint) -> dict[str, Any]:
    if isinstance(plan, Immediate):
        return {"plan": "immediate", "summary": "a candidate that passes its gates is released immediately"}
    if isinstance(plan, ABTest):
        return _ab_test(plan, endpoint.task)
    if endpoint.task.outcomes_belong_to_the_answer:
        return _answer_shadow(plan, endpoint)
    metric = endpoint.task.metric(plan.metric)
    summary = f"shadows for {plan.shadow} to {plan.at_most}, promoted once it is not worse in {metric} by {plan.margin:g}"
    return {
        "plan": "shadow",
        "shadow": plan.shadow,
        "at_most": plan.at_most,
        "metric": metric.name,
        "margin": plan.margin,
        "summary": summary,
    }


def _ab_test(plan: ABTest, task: Task) -> dict[str, Any]:
    metric = task.metric(plan.metric)
    summary = f"answers {plan.share:.0%} of the requests for {plan.at_least} to {plan.at_most}, "
    summary += f"promoted once it is not worse in {metric} by {plan.margin:g}"
    told = {"share": plan.share, "at_least": plan.at_least, "at_most": plan.at_most, "metric": metric.name, "margin": plan.margin}
    return {"plan": "ab_test", **told, "summary": summary}


def _answer_shadow(plan: Rollout, endpoint: Endpoint) -> dict[str, Any]:
    score = answer_plan(endpoint.name, endpoint.model, plan).score.name
    summary = f"answers {plan.share:.0%} of the requests unseen, {plan.answers:,} at most, for {plan.shadow} to {plan.at_most}, "
    summary += f"promoted once it is not worse in {score} by {plan.margin:g}; outcomes of the champion's answers are not used"
    told = {"shadow": plan.shadow, "at_most": plan.at_most, "score": score, "margin": plan.margin}
    return {"plan": "shadow", **told, "share": plan.share, "answers": plan.answers, "summary": summary}


def _monitor(monitor: Monitor) -> dict[str, Any]:
    watched = ["drift", *(f"{t.metric} by {t.by:g}" for t in monitor.performance), *(m.name for m in monitor.metrics)]
    watched += [f"{share.name} by {share.by:g}" for share in monitor.answers]
    watched += [f"{each.name} of {each.at_least:g} or more" for each in monitor.judged]
    watched += [f"spending a {limit.each}" for limit in monitor.spending]
    if monitor.skew is not None:
        watched.append(f"skew by {monitor.skew:g}")
    slices = f", in slices by {', '.join(monitor.slices)}" if monitor.slices else ""
    return {
        "endpoint": monitor.endpoint.name,
        "false_alarms_per_year": monitor.false_alarms_per_year,
        "watches": watched,
        "slices": list(monitor.slices),
        "summary": f"{', '.join(watched)}{slices}; {monitor.false_alarms_per_year:g} false alarms a year",
    }


def _retraining(project: Project, retrain: Retrain) -> dict[str, Any]:
    when = [_trigger(t) for t in retrain.when]
    return {
        "model": retrain.model.name,
        "when": when,
        "cooldown": retrain.cooldown,
        "endpoints": _serving(project, retrain.model),
        "summary": f"at {' or '.join(when) or 'nothing'}, no sooner than {retrain.cooldown} after the last",
    }


def _trigger(trigger: Trigger) -> str:
    return f"an age of {in_words(trigger.after)}" if isinstance(trigger, Stale) else type(trigger).__name__.lower()


def _serving(project: Project, model: Model) -> list[str]:
    return [e.name for e in project.endpoints if e.model.name == model.name]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def headline(project: str, tables: int, found: dict[str, Sequence[Any]]) -> str:
    """What was found, in numbers."""
    counts = {"feature view": "views", "feature set": "feature_sets", "model": "models", "endpoint": "endpoints", "monitor": "monitors"}
    told = [_count(len(found[key]), noun) for noun, key in (counts | {"retraining": "retrainings"}).items()]
    return f"{project}: {_count(tables, 'table')} can be read; {', '.join(told)} declared"
