//! A result as a table for spreadsheets: a line a run, a column a number (RFC 4180).

use serde_json::Value;

use crate::model::Report;

/// The runs of `report`: a line of names, and a line for each. Servers are left out, and what has no data is empty.
#[must_use]
pub fn csv(report: &Report) -> String {
    let rows: Vec<_> = report.runs.iter().map(|run| columns(&serde_json::to_value(run).unwrap_or_default())).collect();
    let mut text = String::new();
    if let Some(first) = rows.first() {
        push_line(&mut text, std::iter::once("scenario").chain(first.iter().map(|(name, _)| name.as_str())));
    }
    for row in &rows {
        push_line(&mut text, std::iter::once(&*report.scenario).chain(row.iter().map(|(_, value)| value.as_str())));
    }
    text
}

/// The numbers and names of a run, with dotted names for those in tables.
fn columns(run: &Value) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    for (name, value) in run.as_object().into_iter().flatten() {
        match value {
            Value::Object(table) if name != "params" => {
                columns.extend(table.iter().map(|(inner, value)| (format!("{name}.{inner}"), plain(value))));
            }
            Value::Array(_) => {}
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                columns.push((name.clone(), plain(value)));
            }
        }
    }
    columns
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn push_line<'a>(text: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            text.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(field);
        }
    }
    text.push_str("\r\n");
}
