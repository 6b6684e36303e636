// SPDX-License-Identifier: Apache-2.0
//! A plan as JSON, in the shape of docs/explain.md.

use std::time::Duration;

use husk_plan::{Plan, explain, shell, strace};
use serde_json::{Value, json};

/// The version of the shape. It grows when something that was there changes or goes, not when something is added.
const VERSION: u32 = 1;

/// `plan` as JSON, with what each step cost if it was carried out.
pub(crate) fn json(plan: &Plan<'_>, costs: Option<&[Duration]>) -> String {
    let lines = shell::lines(plan);
    let actings = explain::actings(plan);
    let steps =
        plan.steps.iter().zip(lines).zip(actings).enumerate().map(|(index, ((step, line), acting))| {
            let mut value = json!({
                "number": index + 1,
                "stage": step.stage.name(),
                "actor": explain::actor_of(plan, step.actor()),
                "as": acting,
                "does": explain::describe(step),
                "origin": step.origin.to_string(),
                "calls": strace::all_calls(&step.action),
                "shell": {
                    "grade": line.grade.name(),
                    "code": line.code,
                    "remark": line.remark,
                    "differs": line.differs,
                },
            });
            if let Some(cost) = costs.and_then(|costs| costs.get(index)) {
                value["nanoseconds"] = json!(u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX));
            }
            value
        });
    let notes = plan.notes.iter().map(|note| json!({ "what": note.what, "cure": note.cure }));
    let plan = json!({
        "version": VERSION,
        "name": plan.name,
        "steps": steps.collect::<Vec<Value>>(),
        "notes": notes.collect::<Vec<Value>>(),
    });
    format!("{plan:#}\n")
}
