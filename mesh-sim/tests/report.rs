//! Results as text, through the library: tables for spreadsheets and traces.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{self, Write};
use std::time::Duration;

use mesh_core::balance::Strategy;
use mesh_sim::model::Report;
use mesh_sim::model::scenario::{Arrivals, Distribution, Fault, FaultKind, Scenario, ServerGroup, Target};
use mesh_sim::report::{Tracer, csv, golden};
use serde_json::Value;

#[test]
fn a_spreadsheet_gets_every_number_of_the_format_but_the_servers() {
    let report = report();
    let rows = parsed(&csv(&report));
    let numbers = serde_json::to_value(&report.runs[0]).unwrap();
    let mut expected = vec!["scenario".to_owned()];
    for (name, value) in numbers.as_object().unwrap() {
        match value.as_object().filter(|_| name != "params") {
            Some(table) => expected.extend(table.keys().map(|inner| format!("{name}.{inner}"))),
            None if name == "servers" => {}
            None => expected.push(name.clone()),
        }
    }
    let mut columns = rows[0].clone();
    columns.sort();
    expected.sort();
    assert_eq!(columns, expected);
    let cell = |row: usize, name: &str| &rows[row][rows[0].iter().position(|column| column == name).unwrap()];
    assert_eq!((rows.len(), cell(1, "scenario").as_str()), (3, "two-groups"));
    assert_eq!(cell(1, "requests.offered"), &report.runs[0].requests.offered.to_string());
    assert_eq!(cell(2, "latency_ms.p99"), &report.runs[1].latency_ms.p99.unwrap().to_string());
    assert_eq!(cell(2, "digest"), &report.runs[1].digest);
}

#[test]
fn what_needs_quotes_has_them_and_what_has_no_data_is_empty() {
    let mut report = report();
    report.scenario = "a,\"b\"\nc".to_owned();
    report.runs[0].latency_ms.p50 = None;
    let text = csv(&report);
    assert!(text.contains("\r\n\"a,\"\"b\"\"\nc\",round-robin,"), "{text}");
    let rows = parsed(&text);
    assert_eq!(rows[1][0], report.scenario);
    assert_eq!(rows[1][rows[0].iter().position(|column| column == "latency_ms.p50").unwrap()], "");
    let params = &rows[2][rows[0].iter().position(|column| column == "params").unwrap()];
    assert_eq!(serde_json::from_str::<Value>(params).unwrap(), report.runs[1].params);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
}

#[test]
fn a_trace_says_what_an_event_is_about_and_nothing_else() {
    let lines = traced(&scenario(), 0);
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let first = |event: &str| lines.iter().find(|line| line["event"] == event).unwrap();
    assert_eq!(sorted(&keys(first("arrived"))), "client event request run t_ns");
    assert_eq!(sorted(&keys(first("picked"))), "attempt client event request run server t_ns why");
    assert_eq!(sorted(&keys(first("fault-began"))), "event fault run server t_ns");
    assert!(lines.iter().all(|line| line["run"] == "round-robin"));
    let times: Vec<_> = lines.iter().map(|line| line["t_ns"].as_u64().unwrap()).collect();
    assert!(times.is_sorted() && *times.last().unwrap() > 900_000_000);
}

#[test]
fn a_trace_says_why_each_pick_went_where_it_did() {
    let lines = traced(&scenario(), 0);
    assert!(lines.iter().filter(|line| line["event"] == "picked").all(|line| line["why"] == "turn"));
    let lines = traced(&scenario(), 1);
    let picked = || lines.iter().filter(|line| line["event"] == "picked");
    for line in picked() {
        let considered = line["considered"].as_array().unwrap();
        let score = |one: &Value| one["score"].as_f64().unwrap();
        let mine = considered.iter().find(|one| one["server"] == line["server"]).unwrap();
        assert!(considered.len() == 2 && considered.iter().all(|one| score(mine) <= score(one)), "{line}");
        let are_idle = considered.iter().all(|one| one["load"] == 0);
        assert_eq!(line["why"], if are_idle { "drawn" } else { "lowest" }, "{line}");
        assert!(score(mine) >= mine["load"].as_f64().unwrap() / 3.0, "{line}");
    }
    assert!(picked().any(|line| line["why"] == "drawn") && picked().any(|line| line["why"] == "lowest"));
}

#[test]
fn a_server_of_a_trace_is_its_group_and_its_place_in_it() {
    let lines = traced(&scenario(), 0);
    let picked = lines.iter().filter(|line| line["event"] == "picked").map(|line| &line["server"]);
    let mut servers: Vec<_> =
        picked.map(|server| (server["group"].as_str().unwrap(), server["index"].as_u64().unwrap())).collect();
    servers.sort_unstable();
    servers.dedup();
    assert_eq!(servers, [("east", 0), ("east", 1), ("west", 0), ("west", 1), ("west", 2)]);
}

#[test]
fn a_trace_that_cannot_be_written_says_so_and_writes_no_more() {
    let scenario = scenario();
    let mut full = Full { room: 200, refusals: 0 };
    let mut tracer = Tracer::new(&scenario, "round-robin", &mut full);
    let whole = scenario.plan().unwrap().run(0, &mut ());
    let run = scenario.plan().unwrap().run(0, &mut tracer);
    assert!(tracer.has_failed());
    assert_eq!(tracer.finish().unwrap_err().to_string(), "full");
    assert_eq!(full.refusals, 1);
    assert_eq!(run.digest, whole.digest, "who looks on changes nothing");
}

#[test]
fn a_summary_is_the_same_for_the_same_result_and_knows_no_clock() {
    let (mut one, other) = (report(), report());
    one.wall_s = 12.0;
    one.runs[0].wall_s = 12.0;
    assert_eq!(golden(&one), golden(&other));
    one.runs[0].digest = "another".to_owned();
    assert_ne!(golden(&one), golden(&other));
    let summary: Value = serde_json::from_str(&golden(&other)).unwrap();
    let shares = other.runs[0].servers.iter().map(|server| server.share.unwrap());
    assert_eq!(summary["runs"][0]["share_max"].as_f64(), shares.reduce(f64::max));
    assert_eq!(summary["runs"][0]["success_ratio"].as_f64(), other.runs[0].success_ratio);
}

fn scenario() -> Scenario {
    let service = || Distribution::exponential(Duration::from_millis(10));
    Scenario::new("two-groups", Duration::from_secs(1), Arrivals::poisson(200.0))
        .servers(ServerGroup::new("east", 2, service()))
        .servers(ServerGroup::new("west", 3, service()))
        .fault(Fault::new(Duration::from_millis(500), west(1), FaultKind::Crash))
        .strategy(Strategy::RoundRobin)
        .strategy(Strategy::default())
}

fn west(index: u32) -> Target {
    Target::Server { group: "west".to_owned(), index }
}

fn report() -> Report {
    scenario().run().unwrap()
}

/// The trace of the run at `index`.
fn traced(scenario: &Scenario, index: usize) -> Vec<Value> {
    let plan = scenario.plan().unwrap();
    let mut text = Vec::new();
    let mut tracer = Tracer::new(scenario, plan.label(index), &mut text);
    let run = plan.run(index, &mut tracer);
    tracer.finish().unwrap();
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len() as u64, run.events);
    lines.into_iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn sorted(words: &str) -> String {
    let mut words: Vec<_> = words.split(' ').collect();
    words.sort_unstable();
    words.join(" ")
}

/// The cells of a table in the form of RFC 4180.
fn parsed(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted && letters.next_if_eq(&'\n').is_some() => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(cell.is_empty() && row.is_empty() && !is_quoted, "the last line ends: {text}");
    rows
}

/// A writer with room for so many bytes.
struct Full {
    room: usize,
    refusals: u32,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.room.checked_sub(bytes.len()) {
            Some(room) => {
                self.room = room;
                Ok(bytes.len())
            }
            None => {
                self.refusals += 1;
                Err(io::Error::other("full"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
